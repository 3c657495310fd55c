"""Signals that end a run after its step."""

import signal
import time

import pytest

from qvl.train import stopping


def test_signals_in_quick_succession_are_one_request():
    with stopping.stop_at_signal() as stop:
        assert not stop.requested()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert stop.requested() and stop.signal == signal.SIGTERM


def test_a_later_signal_ends_the_process_at_once(monkeypatch):
    monkeypatch.setattr(stopping, "TOGETHER_SECONDS", 0.01)
    with pytest.raises(KeyboardInterrupt), stopping.stop_at_signal() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.requested()
        time.sleep(0.02)
        signal.raise_signal(signal.SIGINT)

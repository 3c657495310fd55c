"""Verifiers beside their peers: the page shows what is measured, and no case is lost to a peer without a reason."""

import peer_table
import pytest


def test_the_page_shows_the_table_of_the_cases():
    before, _, rest = peer_table.PAGE.read_text().partition(peer_table.BEGIN)
    assert before and rest.partition(peer_table.END)[0] == peer_table.table(peer_table.judged())


def test_no_case_is_lost_or_open_without_a_reason():
    for case, reward, kind in peer_table.judged():
        assert reward is not None, case
        assert case["reason"] or kind in (peer_table.AGREE, peer_table.OURS), case
        assert kind != peer_table.THEIRS, case


def test_the_results_of_math_verify_are_those_it_gives():
    pytest.importorskip("math_verify")
    for case in peer_table.cases():
        if case["peer"] == "Math-Verify" and case["kind"] != "not evaluable":
            assert peer_table.by_math_verify(case) == case["peer_reward"], case

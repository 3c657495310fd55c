"""Prompts that wait at the same time are scored in one forward pass."""

import re
from unittest.mock import Mock

import numpy as np
import pytest
from running import CASES, data_uri

from qvl.engines.local.checkpoint import Checkpoint
from qvl.engines.local.engine import Engine
from qvl.engines.local.media import RequestMedia
from qvl.engines.local.passes import prompts
from qvl.engines.local.scoring import Scorer, ScoringRequest, score
from qvl.tiny import model

TOLERANCE = 1e-5  # between batches of different shapes


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    model.write(folder, "xs", moe=False, thinking=False, seed=0)
    return Checkpoint(folder)


@pytest.fixture
def engine(checkpoint):
    engine = Engine(checkpoint, 8, on_failure=Mock())
    yield engine
    if engine._thread.is_alive():
        engine.close()


@pytest.fixture
def passes(checkpoint, monkeypatch):
    inner = checkpoint.model.model
    counted = Mock(wraps=inner.forward)
    monkeypatch.setattr(inner, "forward", counted)
    return counted


def every_case(checkpoint):
    """Prompts of several lengths, some with images."""
    media = RequestMedia(checkpoint.image_rules, checkpoint.video_rules, None, 8192)
    for number, (text, images) in enumerate(CASES.values()):
        ids = [10 + number, *map(ord, text * (1 + number))]
        pads = [checkpoint.image_token, 7] * len(images)
        yield checkpoint.prepare([*ids, *pads, 8], [*map(data_uri, images)], [], media)


def test_prompts_are_scored_together_as_each_alone(checkpoint, monkeypatch):
    monkeypatch.setattr(prompts, "FORWARD_TOKENS", 1000)  # so that there are several parts
    wanted = [
        (each, top, last) for each in every_case(checkpoint) for top, last in ((0, 1), (5, 6))
    ]
    together = [ScoringRequest(*each) for each in wanted]
    score(checkpoint, together)
    for request, each in zip(together, wanted, strict=True):
        alone = ScoringRequest(*each)
        score(checkpoint, [alone])
        mine, own = request.scores.result(), alone.scores.result()
        assert mine.logprobs.shape == (request.last,)
        assert mine.top_ids.shape == mine.top_logprobs.shape == (request.last, request.top)
        assert np.abs(mine.logprobs - own.logprobs).max() <= TOLERANCE
        assert np.abs(mine.top_logprobs - own.top_logprobs).max(initial=0) <= TOLERANCE
        assert (mine.top_ids == own.top_ids).all()


def test_those_that_wait_are_scored_in_one_pass_but_for_the_cancelled(checkpoint, engine, passes):
    scorer = Scorer(engine, checkpoint, max_batch=3)
    (prompt, *_) = every_case(checkpoint)
    futures = [scorer.submit(prompt, 2, 4) for _ in range(6)]
    futures[1].cancel()
    engine.start()
    found = [each.result(60) for each in futures if not each.cancelled()]
    assert len(found) == 5 and len({each.logprobs.tobytes() for each in found}) == 1
    sizes = [call.kwargs["input_ids"].shape[0] for call in passes.call_args_list]
    assert sizes == [3, 2]


def test_a_pass_that_fails_is_an_error_for_its_prompts_and_for_no_other(checkpoint, engine, passes):
    passes.side_effect = MemoryError("no more")
    scorer = Scorer(engine, checkpoint, max_batch=2)
    (prompt, *_) = every_case(checkpoint)
    futures = [scorer.submit(prompt, 0, 1) for _ in range(2)]
    engine.start()
    for each in futures:
        with pytest.raises(MemoryError, match=re.escape("no more")):
            each.result(60)
    passes.side_effect = None
    assert scorer.submit(prompt, 0, 1).result(60).logprobs.shape == (1,)


def test_a_prompt_of_one_token_has_no_log_prob(checkpoint):
    media = RequestMedia(checkpoint.image_rules, checkpoint.video_rules, None, 8192)
    request = ScoringRequest(checkpoint.prepare([5], [], [], media), 3, 0)
    score(checkpoint, [request])
    assert request.scores.result().top_ids.shape == (0, 3)

"""A prompt goes on from the keys and values of a row that is over, and gives what it gives as a whole."""

import pytest
import torch
from running import data_uri, picture

from qvl.engines.local.batch import DecodingBatch, Row
from qvl.engines.local.checkpoint import Checkpoint
from qvl.engines.local.media import RequestMedia
from qvl.engines.local.passes import prefill, prompts
from qvl.engines.local.passes.cache import GROWTH
from qvl.engines.local.passes.prefixes import MOST_NEW, Prefix, Prefixes
from qvl.engines.local.sampling import RowSampling
from qvl.tiny import model

TOLERANCE = 1e-5  # between batches of different shapes
TOKENS = 6  # of a turn


@pytest.fixture(scope="module", params=["dense", "moe"])
def checkpoint(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    model.write(folder, "xs", moe=request.param == "moe", thinking=False, seed=0)
    return Checkpoint(folder)


def prepared(checkpoint, ids, images=()):
    media = RequestMedia(checkpoint.image_rules, checkpoint.video_rules, None, 8192)
    return checkpoint.prepare(ids, [*images], [], media)


@torch.inference_mode()
def run(batch, given):
    """The rows of these prompts, to their end."""
    rows = [
        Row(each, RowSampling(temperature=1.0, seed=seed), TOKENS, None, 2, None, lambda row: None)
        for seed, each in enumerate(given)
    ]
    batch.join(rows)
    while batch.num_live:
        batch.step()
    return rows


def conversations(checkpoint):
    """(ids, images) of first turns: of several lengths, with and without images."""
    pad = checkpoint.image_token
    one, other = (data_uri(picture(96, 64, seed)) for seed in (0, 1))
    return [
        ([5, 6, 7], []),
        ([8, pad, 9, 10, 11, 12], [one]),
        ([13, pad, 14, pad, 15], [one, other]),
        ([16] * 30, []),
    ]


def next_turns(checkpoint, begun, rows):
    """The conversations with what was sampled, and with something new: an image, or more tokens than a cache
    grows by at a time."""
    new = data_uri(picture(64, 96, 2))
    for number, ((ids, images), row) in enumerate(zip(begun, rows, strict=True)):
        more = [20 + number, checkpoint.image_token, 30] if number else [40] * 5 * GROWTH
        yield [*ids, *row.tokens, *more], [*images, *[new] * (number > 0)]


def test_turns_that_go_on_are_those_of_whole_prompts(checkpoint, monkeypatch):
    passes = []
    after = prefill.after
    monkeypatch.setattr(prefill, "after", lambda *args: passes.append(args[2]) or after(*args))
    batch, begun = DecodingBatch(checkpoint), conversations(checkpoint)
    for _ in range(2):
        rows = run(batch, [prepared(checkpoint, *each) for each in begun])
        begun = [*next_turns(checkpoint, begun, rows)]
    # Together with one that begins, and with one that asks the same again.
    given = [prepared(checkpoint, *each) for each in [*begun, ([50, 51, 52], []), begun[1]]]
    gone_on = run(batch, given)
    assert [len(each) for each in passes] == [4, 4]
    fresh = DecodingBatch(checkpoint)
    fresh.prefixes = Prefixes(most_bytes=0)
    for mine, whole in zip(gone_on, run(fresh, given), strict=True):
        assert mine.tokens == whole.tokens
        logprobs = ([value for value, _ in row.logprobs] for row in (mine, whole))
        assert max(abs(a - b) for a, b in zip(*logprobs, strict=True)) <= TOLERANCE


def test_the_same_tokens_with_another_image_begin_anew(checkpoint):
    batch, pad = DecodingBatch(checkpoint), checkpoint.image_token
    one, other = (data_uri(picture(96, 64, seed)) for seed in (0, 1))
    (row,) = run(batch, [prepared(checkpoint, [8, pad, 9], [one])])
    going_on = [8, pad, 9, *row.tokens, 10]
    known = batch.prefixes.longest(prepared(checkpoint, going_on, [one]))
    assert known and known.length == len(row.prompt.ids) + TOKENS - 1
    assert batch.prefixes.longest(prepared(checkpoint, going_on, [other])) is None
    assert batch.prefixes.longest(prepared(checkpoint, [9, *going_on[1:]], [one])) is None


def test_the_last_token_of_a_prompt_is_computed_though_it_is_known(checkpoint):
    batch = DecodingBatch(checkpoint)
    (row,) = run(batch, [prepared(checkpoint, [5, 6, 7])])
    again = prepared(checkpoint, [5, 6, 7, *row.tokens[:-1]])
    assert batch.prefixes.longest(again) is None
    (other,) = run(batch, [again])
    assert len(other.tokens) == TOKENS


def test_a_long_prompt_after_a_short_prefix_is_computed_whole(checkpoint):
    """Its mask would grow with the square of its length."""
    batch = DecodingBatch(checkpoint)
    (row,) = run(batch, [prepared(checkpoint, [5, 6, 7])])
    known = [5, 6, 7, *row.tokens[:-1]]
    for more, found in ((MOST_NEW, True), (MOST_NEW + 1, False)):
        longer = prepared(checkpoint, [*known, *[9] * more])
        assert (batch.prefixes.longest(longer) is not None) == found


def test_a_row_that_was_cancelled_is_not_kept(checkpoint):
    batch = DecodingBatch(checkpoint)
    row = Row(
        prepared(checkpoint, [5]),
        RowSampling(temperature=1.0, seed=0),
        TOKENS,
        None,
        None,
        None,
        print,
    )
    with torch.inference_mode():
        batch.join([row])
        row.is_cancelled = True
        batch.step()
    assert len(batch.prefixes) == 0


def test_the_prefixes_used_last_are_kept_within_the_bytes(checkpoint):
    states = torch.zeros(1, 1, 4, 8)  # 128 bytes, and as many of values
    kept = Prefixes(most_bytes=2 * 256)
    given = [prepared(checkpoint, [first, 1, 2, 3, 9]) for first in range(3)]
    for prompt in given[:2]:
        kept.keep(prompt, [], Prefix(states, states))
    assert kept.longest(given[0])
    kept.keep(given[2], [], Prefix(states, states))
    assert [kept.longest(each) is not None for each in given] == [True, False, True]
    kept.keep(given[1], [], Prefix(*[torch.zeros(1, 1, 4, 1000)] * 2))
    assert len(kept) == 2
    kept.clear()
    assert len(kept) == 0 and kept.longest(given[0]) is None


def test_a_part_of_a_prompt_has_the_images_after_it(checkpoint):
    pad = checkpoint.image_token
    one, other = (data_uri(picture(96, 64, seed)) for seed in (0, 1))
    whole = prepared(checkpoint, [5, pad, 6, pad, 7], [one, other])
    first, second = whole.images
    for begin, left in ((0, 2), (first.end, 1), (second.end, 0)):
        rest = whole.rest(begin)
        inputs = prompts.padded([rest], checkpoint.device, left=True)
        assert inputs["input_ids"][0].tolist() == whole.ids[begin:]
        assert len(rest.images) == left == len(inputs.get("image_grid_thw", ()))
        if left:
            patches = torch.cat([image.patches for image in whole.images])
            assert torch.equal(inputs["pixel_values"], patches[-24 * left :])

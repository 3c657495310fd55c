"""From the records of a step to what a trainer learns from: mini-batches of samples, and their packs.

A response is learnt from if it has an advantage other than 0 and a token. The rules for the others:

    no verdict (its verifier failed, its reward is not finite)
        left out, and out of its group's mean and spread
    a group whose rewards are all equal, or with one verdict only
        advantage 0: it counts among the responses of the mini-batch, and moves nothing
    no token
        as any response in its group, but there is nothing to learn
    cut at the length limit
        judged and learnt from as it is; with `mask_cut` it only counts in its group's mean and spread
    an agent's episode that called once more in its last turn
        only counts in its group's mean and spread, so that agents which need more turns are not taught
        to give up (Mini-o3, arXiv 2509.07969, masks so); without `mask_over_turn` learnt from

Of an agent's episode only the tokens that it sampled are learnt; what tools returned is its context.
"""

import heapq
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, NamedTuple

from qvl.pack.packed import Sample


class Learnt(NamedTuple):
    """A response to learn from."""

    sample: Sample
    """The weight of a token is 1 / (tokens of its response x responses of the mini-batch). Columns:
    `advantage`, `engine_log_probs`, and `old_log_probs` where the file has the trainer's."""
    record: int
    """Its number in the step."""
    response: int
    """Its number in the record."""


class Minibatch(NamedTuple):
    """What one optimizer step learns from."""

    learnt: list[Learnt]
    responses: int
    """With a verdict, also those that are not learnt from."""


def minibatches(
    records: Sequence[dict[str, Any]],
    count: int,
    *,
    mask_cut: bool = False,
    mask_over_turn: bool = True,
) -> list[Minibatch]:
    """The step in `count` mini-batches of whole groups; query i belongs to mini-batch i mod count."""
    numbered = list(enumerate(records))
    masked = {"length"} if mask_cut else set()
    masked |= {"turns"} if mask_over_turn else set()
    return [_minibatch(numbered[part::count], masked) for part in range(count)]


def _minibatch(
    records: Sequence[tuple[int, dict[str, Any]]], masked: AbstractSet[str]
) -> Minibatch:
    """masked: the endings that are not learnt from."""
    judged = [
        (number, index, response)
        for number, record in records
        for index, response in enumerate(record["responses"])
        if response["advantage"] is not None
    ]
    by_number = dict(records)
    learnt = [
        Learnt(_sample(by_number[number], index, response, len(judged)), number, index)
        for number, index, response in judged
        if response["advantage"]
        and response["logprobs"]
        and response["finish_reason"] not in masked
    ]
    return Minibatch(learnt, len(judged))


def _sample(record: dict[str, Any], index: int, response: dict[str, Any], responses: int) -> Sample:
    prompt, tokens, media = response["prompt_token_ids"], response["token_ids"], record["rollout"]
    count = len(response["logprobs"])
    columns = {
        "advantage": [response["advantage"]] * count,
        "engine_log_probs": response["logprobs"],
    }
    columns |= old_log_probs(response)
    start, weight = len(prompt), 1 / (count * responses)
    grids = [*media["grids"], *response.get("grids", ())]
    return Sample(
        f"{record.get('id')}#{index}",
        [*prompt, *tokens],
        [
            (start + begin, start + end, weight)
            for begin, end in response.get("sampled", [[0, count]])
        ],
        [*media["images"], *response.get("images", ())],
        [(frames, rows, columns) for frames, rows, columns in grids],
        columns,
    )


def old_log_probs(response: dict[str, Any]) -> dict[str, list[float]]:
    """The column of the trainer's log-probs in a step's file, if the weights that sampled gave them.

    Where the samples are stale, the trainer has other weights, and the ratio to its own would begin at 1.
    """
    versions = {each[0] for each in response.get("weight_versions", ())}
    if "trainer_logprobs" not in response or not versions <= {response.get("trainer_version")}:
        return {}
    return {"old_log_probs": response["trainer_logprobs"]}


def packs(learnt: Sequence[Learnt], budget: int, multiple: int) -> list[list[Learnt]]:
    """The responses in packs of at most `budget` tokens, or of the longest one, nearly equal in size
    and in number a multiple of `multiple`: the ranks, times what their schedule needs.

    The longest response first, each into the shortest pack. With fewer responses than packs, the
    shortest one is repeated without weight.
    """
    if not learnt:
        return []
    ordered = sorted(learnt, key=lambda one: (-_length(one), one.record, one.response))
    budget = max(budget, _length(ordered[0]))
    total = sum(map(_length, ordered))
    count = -(-total // (budget * multiple)) * multiple
    while True:
        every = [*ordered, *[_without_weight(ordered[-1])] * (count - len(ordered))]
        found: list[list[Learnt]] = [[] for _ in range(count)]
        sizes = [(0, place) for place in range(count)]
        for one in every:
            size, place = sizes[0]
            found[place].append(one)
            heapq.heapreplace(sizes, (size + _length(one), place))
        if max(sizes)[0] <= budget:
            return found
        count += multiple


def _length(one: Learnt) -> int:
    return len(one.sample.ids)


def _without_weight(one: Learnt) -> Learnt:
    spans = [(start, end, 0.0) for start, end, _ in one.sample.spans]
    return one._replace(sample=replace(one.sample, spans=spans))

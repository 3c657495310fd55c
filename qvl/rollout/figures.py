"""The figures of a step or an evaluation, from its records."""

from collections.abc import Iterable, Sequence
from typing import Any

from qvl.reward import RIGHT
from qvl.reward.penalties import PENALTIES

Record = dict[str, Any]


def of_evaluation(records: Iterable[Record]) -> dict[str, float]:
    """Of the greedy responses, as `of_responses`; of the others, too, as `sampled/NAME`."""
    greedy, sampled = [], []
    for record in records:
        for response in record["responses"]:
            is_greedy = response["sampling"]["temperature"] == 0
            (greedy if is_greedy else sampled).append((record, response))
    found = _of_pairs(greedy)
    if sampled:
        found |= {f"sampled/{name}": value for name, value in _of_pairs(sampled).items()}
    return found


def _of_pairs(pairs: Sequence[tuple[Record, Record]]) -> dict[str, float]:
    found = of_responses((record.get("task"), response) for record, response in pairs)
    return found | of_episodes(pairs)


def of_episodes(pairs: Iterable[tuple[Record, Record]]) -> dict[str, float]:
    """Of (record, response) of agents; {} without one: `calls`, the mean number of calls; `over_turn`, the
    share that ended at the limit of turns; and by the number of calls that a task deserves, where
    records say it, `calls/need-N` and `accuracy/need-N`."""
    calls: dict[str, list[float]] = {}
    right: dict[str, list[float]] = {}
    over = []
    for record, response in pairs:
        if "num_calls" not in response:
            continue
        over.append(float(response["finish_reason"] == "turns"))
        calls.setdefault("calls", []).append(response["num_calls"])
        needed = record.get("calls_needed")
        if needed is not None:
            calls.setdefault(f"calls/need-{needed}", []).append(response["num_calls"])
            value = verified(response)
            if value is not None:
                right.setdefault(f"accuracy/need-{needed}", []).append(value)
    if not over:
        return {}
    means = {name: _mean(values) for name, values in sorted({**calls, **right}.items())}
    return {**means, "over_turn": _mean(over)}


def of_responses(responses: Iterable[tuple[Any, Record]]) -> dict[str, float]:
    """Of (task, response): `accuracy`, the mean reward of the verifiers; by task, where there are
    several; the share of responses with each penalty; and the mean number of tokens."""
    right: dict[str, list[float]] = {}
    bad: dict[str, list[float]] = {}
    lengths = []
    for task, response in responses:
        value = verified(response)
        if value is not None:
            right.setdefault(str(task), []).append(value)
        lengths.append(response["num_tokens"])
        for name in PENALTIES:
            if name in response["rewards"]:
                bad.setdefault(name, []).append(float(response["rewards"][name] < 0))
    every = [value for values in right.values() for value in values]
    found = {"accuracy": _mean(every), "tokens": _mean(lengths)}
    if len(right) > 1:
        found |= {f"accuracy/{task}": _mean(values) for task, values in sorted(right.items())}
    return found | {f"rate/{name}": _mean(values) for name, values in sorted(bad.items())}


def of_step(records: Sequence[Record]) -> dict[str, Any]:
    """Of the responses of a step, before the trainer has seen them:

    reward, and pass_rate by task       means over responses with a verdict
    teaching_groups                     share of the queries whose responses differ in reward
    all_right, all_wrong                share of those that do not, by the side
    cut                                 share that ended at the length limit
    no_verdict, empty, refused          numbers: responses without a reward or a token; queries
    response_tokens, longest            mean and maximum
    rate/NAME                           share of responses with a penalty
    sources                             mean reward and number of responses of each
    calls, over_turn, ...               of agents: see of_episodes
    """
    responses = [each for record in records for each in record["responses"]]
    rewards = [each["reward"] for each in responses if each["reward"] is not None]
    groups = [record["responses"] for record in records if record["responses"]]
    spread = [any(each["advantage"] for each in group) for group in groups]
    sure = [group for group, teaches in zip(groups, spread, strict=True) if not teaches]
    right = [all((verified(each) or 0.0) >= RIGHT for each in group) for group in sure]
    found = {
        "reward": _mean(rewards),
        "teaching_groups": _mean(spread),
        "all_right": round(sum(right) / max(len(groups), 1), 4),
        "all_wrong": round((len(right) - sum(right)) / max(len(groups), 1), 4),
        "no_verdict": len(responses) - len(rewards),
        **of_sequences(records),
    }
    evaluated = of_responses(
        (record.get("task"), each) for record in records for each in record["responses"]
    )
    found["pass_rate"] = evaluated["accuracy"]
    for name, value in evaluated.items():
        if "/" in name:
            found[name.replace("accuracy/", "pass_rate/")] = value
    found |= of_episodes((record, each) for record in records for each in record["responses"])
    found["sources"] = _by_source(records)
    return found


def of_sequences(records: Sequence[Record]) -> dict[str, Any]:
    """Of the lengths of a step's responses: cut, empty, refused, response_tokens and longest."""
    responses = [each for record in records for each in record["responses"]]
    lengths = [each["num_tokens"] for each in responses]
    return {
        "cut": _mean([each["finish_reason"] == "length" for each in responses]),
        "empty": sum(not length for length in lengths),
        "refused": sum(not record["responses"] for record in records),
        "response_tokens": _mean(lengths),
        "longest": max(lengths, default=0),
    }


def _by_source(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """The mean reward of each source, as `qvl rl potential --log` reads it."""
    rewards: dict[str, list[float]] = {}
    for record in records:
        values = [each["reward"] for each in record["responses"] if each["reward"] is not None]
        rewards.setdefault(str(record.get("source", "")), []).extend(values)
    return {
        name: {"reward": _mean(values), "count": len(values)}
        for name, values in sorted(rewards.items())
        if values
    }


def verified(response: Record) -> float | None:
    """The reward of the verifier or the judge alone, without penalties; None without a verdict."""
    name = (response.get("verdict") or {}).get("verifier")
    return (response.get("rewards") or {}).get(name, response.get("reward"))


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / max(len(values), 1), 4)

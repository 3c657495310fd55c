"""What an episode is worth: the answer, the calls it took, and how it used what came back.

    score = accuracy (1 + W_CALLS fit + W_REASONING fit reasoning)

accuracy   of the answer, 0 to 1, by a verifier or a judge
fit        of the calls to what the task deserves, 0 to 1: `calls_fit`
reasoning  0 to 1, by a judge that reads the trajectory with its images; left out without one

The report (4.5) has these three parts, and publishes neither weights nor the form. Why this one:

- A wrong answer is worth 0, whatever it looked at and whatever a judge says of it: words do not pay.
- Once it is right, calls pay by how near their number is to what the task deserves. Always one call, or
  none, loses wherever the task deserves another number; the report saw agents fall into one call.
- A call counts as useful only if it shows something: a failed or repeated one, one that shows nearly all
  of the image, or, where the record says where the evidence is, one that shows none that was not seen,
  is worse than none. So the number cannot be filled up.
- What the judge says is multiplied by fit: it cannot make up for calls.
"""

from collections.abc import Mapping, Sequence
from typing import Any

W_CALLS = 0.3  # our choice; the twin's calls move with 0.2 to 0.3
W_REASONING = 0.3  # our choice
SAME = 0.9  # IoU from which two boxes show the same: our choice
WHOLE = 0.8  # share of the image from which a crop is no closer look: our choice
COVERED = 0.5  # share of the evidence that a crop must show: our choice
ZOOM = "image_zoom_in_tool"

Box = tuple[float, float, float, float]


def score(accuracy: float, fit: float | None = None, reasoning: float | None = None) -> float:
    """The formula above. fit: None where the record does not say how many calls it deserves, which
    counts as 1 for the reasoning."""
    total = 1.0
    if fit is not None:
        total += W_CALLS * fit
    if reasoning is not None:
        total += W_REASONING * reasoning * (1.0 if fit is None else fit)
    return accuracy * total


def calls_fit(made: int, useful: int, needed: int) -> float:
    """1 for as many useful calls as needed and no other; it falls by 1 / needed per call too many, too few
    or without use, to 0."""
    off = abs(needed - useful) + (made - useful)
    return max(0.0, 1.0 - off / max(needed, 1))


def fit_of(record: Mapping[str, Any], response: Mapping[str, Any]) -> float | None:
    """`calls_fit` of an episode; None where the record has no `calls_needed`."""
    needed = record.get("calls_needed")
    if not isinstance(needed, int) or isinstance(needed, bool):
        return None
    return calls_fit(response["num_calls"], useful_calls(record, response), needed)


def useful_calls(record: Mapping[str, Any], response: Mapping[str, Any]) -> int:
    """How many calls of an episode showed something new."""
    evidence = [
        (each.get("img_idx", 0), tuple(each["bbox_2d"])) for each in record.get("evidence") or ()
    ]
    seen: list[Any] = []
    shown: list[tuple[Any, Box]] = []
    found = 0
    for call in response.get("calls") or ():
        if call["failed"]:
            continue
        place = _place(call)
        if place is None:  # another tool: useful unless it repeats itself
            key = (call["name"], repr(call["arguments"]))
            found += key not in seen
            seen.append(key)
            continue
        is_new = not any(
            image == place[0] and overlap(box, place[1]) >= SAME for image, box in shown
        )
        shown.append(place)
        if area(clipped(place[1])) > WHOLE or not is_new:
            continue
        if record.get("evidence") is None:
            found += 1
            continue
        new = [each for each in evidence if each[0] == place[0] and covers(place[1], each[1])]
        evidence = [each for each in evidence if each not in new]
        found += bool(new)
    return found


def with_parts(
    record: dict[str, Any],
    calls_weight: float,
    reasoning: Sequence[float | None] | None = None,
    reasoning_weight: float = W_REASONING,
) -> dict[str, Any]:
    """The record with the parts of an agent in the `reward` of each response, as in `score`:

        reward + accuracy (calls_weight fit + reasoning_weight fit reasoning)

    accuracy is that of the verifier or the judge, without penalties. reasoning: of each response; None
    where a judge gave none, and then the response has no reward.
    """
    several = reasoning if reasoning is not None else [None] * len(record["responses"])
    responses = []
    for response, value in zip(record["responses"], several, strict=True):
        if reasoning is not None and value is None:
            responses.append({**response, "reward": None})
            continue
        weights = calls_weight, reasoning_weight
        responses.append(_with_parts(record, response, value, *weights))
    return {**record, "responses": responses}


def _with_parts(
    record: dict[str, Any],
    response: dict[str, Any],
    reasoning: float | None,
    calls_weight: float,
    reasoning_weight: float,
) -> dict[str, Any]:
    fit, reward = fit_of(record, response), response.get("reward")
    if reward is None:
        return response
    rewards = dict(response.get("rewards") or {})
    verifier = (response.get("verdict") or {}).get("verifier")
    accuracy = rewards.get("judge", rewards.get(verifier, reward))
    if fit is not None:
        rewards["calls"] = fit
        reward += calls_weight * accuracy * fit
    if reasoning is not None:
        rewards["reasoning"] = reasoning
        reward += reasoning_weight * accuracy * (1.0 if fit is None else fit) * reasoning
    return {**response, "reward": round(reward, 6), "rewards": rewards}


def _place(call: Mapping[str, Any]) -> tuple[Any, Box] | None:
    """(image, box) of a zoom."""
    arguments = call["arguments"]
    if call["name"] != ZOOM or not isinstance(arguments, Mapping):
        return None
    left, top, right, bottom = arguments["bbox_2d"]
    return arguments["img_idx"], (left, top, right, bottom)


def clipped(box: Sequence[float]) -> Box:
    """A box in thousandths, as shares of the image."""
    left, top, right, bottom = (min(1.0, max(0.0, each / 1000)) for each in box)
    return left, top, right, bottom


def area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def shared(one: Sequence[float], other: Sequence[float]) -> float:
    """The area that two boxes share, as a share of the image."""
    a, b = clipped(one), clipped(other)
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """The intersection over the union."""
    common = shared(one, other)
    union = area(clipped(one)) + area(clipped(other)) - common
    return common / union if union else 0.0


def covers(crop: Sequence[float], box: Sequence[float]) -> bool:
    """Whether a crop shows enough of a box."""
    size = area(clipped(box))
    return size > 0 and shared(crop, box) / size >= COVERED

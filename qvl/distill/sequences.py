"""The sequences of a record that a teacher scores: its responses, or the turn that it ends in."""

from collections.abc import Iterator
from typing import Any

from qvl.pack.render import Renderer
from qvl.record import final, prompt, text
from qvl.stage import Drop

Record = dict[str, Any]


def sequences(record: Record, renderer: Renderer) -> Iterator[Record | Drop]:
    """A record for each sequence, with one response that has its token ids; a Drop for one that has none.

    Responses that were sampled with token ids keep them. Others, and the turn that ends a record without
    responses, are rendered: their ids are those that `qvl pack` would make.
    """
    turn = final(record)
    responses = record.get("responses")
    if not responses and turn is None:
        yield Drop("no-answer", "no response, and the last message is not an assistant turn")
        return
    rendered = renderer.prompt(record)
    if isinstance(rendered, Drop):
        yield rendered
        return
    media = {"images": rendered.images, "grids": rendered.grids}
    asked = {name: value for name, value in record.items() if name != "responses"}
    for index, response in enumerate(responses or [_of_turn(turn)]):
        whole = response
        if "token_ids" not in response:
            whole = _rendered(asked, response, renderer)
        if isinstance(whole, Drop):
            yield whole
            continue
        name = f"{record.get('id')}#{index}" if responses else record.get("id")
        rollout = {**(record.get("rollout") or {}), **media}
        yield {**asked, "id": name, "responses": [whole], "rollout": rollout}


def _of_turn(turn: Any) -> Record:
    thought = turn.get("reasoning_content")
    return {"content": text(turn), **({"reasoning_content": thought} if thought else {})}


def _rendered(record: Record, response: Record, renderer: Renderer) -> Record | Drop:
    turn = {"role": "assistant", "content": response.get("content") or ""}
    if response.get("reasoning_content"):
        turn["reasoning_content"] = response["reasoning_content"]
    sample = renderer({**record, "messages": [*prompt(record), turn]})
    if isinstance(sample, Drop):
        return sample
    start, end, _ = sample.spans[-1]
    ids = list(sample.ids)
    return {
        **response,
        "finish_reason": response.get("finish_reason", "stop"),
        "num_tokens": end - start,
        "prompt_token_ids": ids[:start],
        "token_ids": ids[start:end],
    }

"""Which format a row may have, by its fields: for --from auto, and to name a wrong --from.

A row that a format reads without what it means, such as <image> as text beside a column of images, would be
kept and be broken.
"""

from typing import Any

from qvl.formats.parts.placeholders import PLACEHOLDER

MEDIA = ("images", "image", "videos", "video")
PREFERRED = ("qvl", "openai", "ms-swift", "llava", "llama-factory", "trl", "trl-prompt", "verl")


def likely(row: Any) -> list[str]:
    """The formats that a row may have, the likeliest first; none if it is unknown."""
    found = _possible(row) if isinstance(row, dict) else set()
    return [name for name in PREFERRED if name in found]


def _possible(row: dict) -> set[str]:
    turns, prompt = row.get("conversations"), row.get("prompt")
    if isinstance(turns, list):
        speakers = {turn.get("from") for turn in turns if isinstance(turn, dict)}
        if "system" in row or "tools" in row or speakers & {"function_call", "observation"}:
            return {"llama-factory"}
        if isinstance(row.get("image"), str) or isinstance(row.get("video"), str):
            return {"llava"}
        return {"llava", "llama-factory"} if speakers & {"human", "gpt"} else set()
    if isinstance(row.get("messages"), list):
        return _of_messages(row, row["messages"])
    if isinstance(prompt, list):
        if "reward_model" in row or "data_source" in row:
            return {"verl"}
        return {"trl-prompt", "trl"} if "completion" in row else set()
    return set()


def _of_messages(row: dict, messages: list) -> set[str]:
    messages = [each for each in messages if isinstance(each, dict)]
    texts = [each["content"] for each in messages if isinstance(each.get("content"), str)]
    lists = [each["content"] for each in messages if isinstance(each.get("content"), list)]
    parts = [part for parts in lists for part in parts if isinstance(part, dict)]
    kinds = {part.get("type") for part in parts}
    has_column = any(row.get(name) for name in MEDIA)
    if any(each.get("role") in ("tool_call", "tool_response") for each in messages):
        return {"ms-swift"}
    if kinds & {"image_url", "video_url", "input_audio"}:
        return {"openai"}
    named = [part for part in parts if isinstance(part.get(str(part.get("type"))), str | list)]
    if kinds & {"image", "video"} and any(part not in named for part in parts):
        return {"trl"}
    if has_column and any(PLACEHOLDER.search(text) for text in texts):
        return {"ms-swift", "trl"}
    if kinds & {"image", "video"}:
        return {"qvl", "trl"}
    return {"qvl", "openai", "ms-swift", "trl"} if "id" in row else {"openai", "ms-swift", "trl"}

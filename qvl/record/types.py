"""The fields of a record, by their types in Python; qvl-records(5) says what each of them means."""

from typing import Any, TypedDict

ROLES = ("system", "user", "assistant", "tool")
MEDIA = ("image", "video")


class Message(TypedDict, total=False):
    role: str
    content: str | list[dict[str, Any]] | None
    reasoning_content: str
    tool_calls: list[dict[str, Any]]


class Response(TypedDict, total=False):
    content: str
    reasoning_content: str
    messages: list[Message]
    finish_reason: str
    num_tokens: int
    model: str
    sampling: dict[str, Any]
    prompt_token_ids: list[int]
    token_ids: list[int]
    logprobs: list[float]
    sampled: list[list[int]]
    calls: list[dict[str, Any]]
    num_calls: int
    num_turns: int
    images: list[str]
    grids: list[list[int]]
    top_logprobs: list[list[list]]
    trainer_logprobs: list[float]
    trainer_version: str
    weight_versions: list[list]
    teacher: dict[str, Any]
    advantage: float | None
    reward: float | None
    rewards: dict[str, float]
    verdict: dict[str, Any]
    scores: dict[str, float]


class Record(TypedDict, total=False):
    id: str
    messages: list[Message]
    answer: Any
    task: str
    source: str
    tools: list[dict[str, Any]]
    calls_needed: int
    objects: list[dict[str, Any]]
    evidence: list[dict[str, Any]]
    format_prompt: str
    trigger: dict[str, Any]
    responses: list[Response]
    scores: dict[str, dict[str, Any]]
    reject: dict[str, str]

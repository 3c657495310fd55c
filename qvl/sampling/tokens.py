"""The token ids and log-probabilities of an answer, as different engines return them."""

from typing import Any

from qvl.errors import UserError


def kept_tokens(
    answer: dict,
    choice: dict,
    *,
    token_ids: bool = False,
    logprobs: bool = False,
    top_logprobs: int | None = None,
) -> dict[str, list]:
    """The requested token fields of one choice of an answer, by their names in a response.

    vLLM and the local engine return the prompt's ids beside the choices and the answer's as
    token_ids; SGLang returns both inside the choice. UserError where the endpoint returns none.
    """
    kept: dict[str, list] = {}
    if token_ids:
        prompt = answer.get("prompt_token_ids") or choice.get("prompt_token_ids")
        ids = choice.get("token_ids")
        ids = choice.get("response_token_ids") if ids is None else ids
        if not isinstance(prompt, list) or not isinstance(ids, list):
            raise UserError("--token-ids: the endpoint returns none; qvl serve, vLLM and SGLang do")
        kept |= {"prompt_token_ids": prompt, "token_ids": ids}
    if logprobs:
        found = choice.get("logprobs")
        content = found.get("content") if isinstance(found, dict) else None
        if not isinstance(content, list) or not all(map(_is_position, content)):
            raise UserError("--logprobs: the endpoint returns none")
        kept["logprobs"] = [each["logprob"] for each in content]
        if top_logprobs is not None:
            kept["top_logprobs"] = [_likeliest(each) for each in content]
        if token_ids and len(kept["logprobs"]) != len(kept["token_ids"]):
            raise UserError(
                f"the endpoint returns {len(kept['token_ids'])} token ids "
                f"and {len(kept['logprobs'])} log-probabilities for one answer"
            )
    return kept


def _likeliest(position: dict[str, Any]) -> list[list]:
    """[[token, log-probability], ...] at one position, in the endpoint's order."""
    likeliest = position.get("top_logprobs")
    if not isinstance(likeliest, list) or not all(map(_is_position, likeliest)):
        raise UserError("--top-logprobs: the endpoint returns none")
    return [[each["token"], each["logprob"]] for each in likeliest]


def _is_position(value: Any) -> bool:
    """Whether a value is a token with its log-probability."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("token"), str)
        and isinstance(value.get("logprob"), int | float)
    )

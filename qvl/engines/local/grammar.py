"""Answers of a given form: a JSON schema or a regular expression, kept to token by token.

llguidance follows the bytes of the answer and says which tokens may come next; the end of the answer
is one of them only where the form is complete. JSON comes without white space between its tokens.
"""

import functools
from typing import Any

import orjson
import torch

from qvl.errors import UserError, need

KEPT = 64  # forms that are ready: a stream of records mostly asks for one
FIELDS = ("response_format", "structured_outputs", "regex")  # OpenAI's, vLLM's and SGLang's


class Grammars:
    """Forms for one tokenizer, which takes a second to prepare with 150,000 tokens: once."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: set[int]) -> None:
        self._tokenizer, self._vocabulary, self._ends = tokenizer, vocabulary, sorted(ends)
        self._compiled = functools.lru_cache(KEPT)(self._compile)

    def check(self, form: str) -> None:
        """UserError where `form`, of read_form, is none that can be followed. Takes time, once."""
        self._compiled(form)

    def follow(self, form: str) -> "Grammar":
        """A form that check() found good, at the begin of an answer."""
        return Grammar(self._compiled(form).deep_copy())

    def _compile(self, form: str) -> Any:
        matcher = need("llguidance", extra="serve").LLMatcher(self._tokens, form, log_level=0)
        if matcher.is_error():
            raise UserError(
                f"the form of the answer: {' '.join(matcher.get_error().split())[:300]}"
            )
        return matcher

    @functools.cached_property
    def _tokens(self) -> Any:
        wrap = need("llguidance.hf", extra="serve").from_tokenizer
        return wrap(self._tokenizer, n_vocab=self._vocabulary, eos_token=self._ends)


class Grammar:
    """What one answer may still become."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def banned(self) -> torch.Tensor:
        """(V,) whether a token may not come next."""
        allowed = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8)
        return allowed == 0

    def take(self, token: int) -> None:
        self._matcher.consume_token(token)


def read_form(fields: dict[str, Any]) -> str | None:
    """The form that a request's fields ask for, taken out of them; UserError where it is none.

    response_format as OpenAI has it, structured_outputs {"json" or "regex"} as vLLM, regex as SGLang.
    """
    given = {name: fields.pop(name) for name in FIELDS if name in fields}
    forms = {_form(name, value) for name, value in given.items()} - {None}
    if len(forms) > 1:
        raise UserError(f"{', '.join(given)}: an answer has one form")
    return forms.pop() if forms else None


def _form(name: str, value: Any) -> str | None:
    if name == "regex" and isinstance(value, str):
        return _of_regex(value)
    if isinstance(value, dict) and name == "structured_outputs" and len(value) == 1:
        ((kind, said),) = value.items()
        if kind == "regex" and isinstance(said, str):
            return _of_regex(said)
        if kind == "json":
            return _of_schema(orjson.loads(said) if isinstance(said, str) else said)
    if isinstance(value, dict) and name == "response_format":
        kind = value.get("type")
        if kind == "text":
            return None
        if kind == "json_object":
            return _of_schema({"type": "object"})
        if kind == "json_schema" and isinstance(value.get("json_schema"), dict):
            return _of_schema(value["json_schema"].get("schema"))
    raise UserError(f"{name}: expected a JSON schema or a regular expression, as text")


def _of_regex(pattern: str) -> str:
    return need("llguidance", extra="serve").LLMatcher.grammar_from_regex(pattern)


def _of_schema(schema: Any) -> str:
    if not isinstance(schema, dict):
        raise UserError("the JSON schema: expected an object")
    compact = {"whitespace_flexible": False}  # a weak model would write white space for ever
    matcher = need("llguidance", extra="serve").LLMatcher
    return matcher.grammar_from_json_schema(schema, overrides=compact)

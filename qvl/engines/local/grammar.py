"""Structured output: a JSON schema or a regular expression constrains every token of a completion.

llguidance tracks the bytes of the completion and computes which tokens may follow; an end token is one
of them only once the grammar is complete. JSON has no white space between its tokens.
"""

import functools
import json
from typing import Any

import orjson
import torch

from qvl.errors import UserError, need

FIRST_UNASSIGNED = 0xF0000  # of the private use area: in no text
CACHE_SIZE = 64  # compiled grammars: the requests of a stream mostly share one
FIELDS = ("response_format", "structured_outputs", "regex")  # OpenAI's, vLLM's and SGLang's


class Grammars:
    """Compiles grammars for one tokenizer, whose 150,000 tokens take a second to prepare, once."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: set[int]) -> None:
        self._tokenizer, self._vocabulary, self._ends = tokenizer, vocabulary, sorted(ends)
        self.compile = functools.lru_cache(CACHE_SIZE)(self._compile)

    def start(self, grammar: str) -> "Grammar":
        """The state of a grammar at the beginning of a completion."""
        return Grammar(self.compile(grammar).deep_copy())

    def _compile(self, grammar: str) -> Any:
        """A matcher for what parse_grammar returned. UserError if it cannot be compiled. Slow, once."""
        matcher = need("llguidance", extra="serve").LLMatcher(self._tokens, grammar, log_level=0)
        if matcher.is_error():
            raise UserError(f"structured output: {' '.join(matcher.get_error().split())[:300]}")
        return matcher

    @functools.cached_property
    def _tokens(self) -> Any:
        described = json.loads(self._tokenizer.backend_tokenizer.to_str())
        # A text of the grammar that spells an added token would be tokenised as that token, and
        # refused, because its bytes are not those of the text. Under another name none is spelt.
        for token in described["added_tokens"]:
            token |= {"content": chr(FIRST_UNASSIGNED + token["id"]), "special": True}
        for unused in ("padding", "truncation"):
            described[unused] = None
        wrap = need("llguidance", extra="serve").LLTokenizer
        return wrap(json.dumps(described), n_vocab=self._vocabulary, eos_token=self._ends)


class Grammar:
    """The state of a grammar in one completion."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def banned(self) -> torch.Tensor:
        """(V,) whether a token must not come next."""
        allowed = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8)
        return allowed == 0

    def accept(self, token: int) -> None:
        """Advance by a token."""
        self._matcher.consume_token(token)


def parse_grammar(fields: dict[str, Any]) -> str | None:
    """The grammar in a request's fields, which are removed from it. UserError if it is malformed.

    response_format as OpenAI has it, structured_outputs {"json" or "regex"} as vLLM, regex as SGLang.
    """
    given = {name: fields.pop(name) for name in FIELDS if name in fields}
    grammars = {_grammar(name, value) for name, value in given.items()} - {None}
    if len(grammars) > 1:
        raise UserError(f"{', '.join(given)}: expected only one of them")
    return grammars.pop() if grammars else None


def _grammar(name: str, value: Any) -> str | None:
    if name == "regex" and isinstance(value, str):
        return _of_regex(value)
    if isinstance(value, dict) and name == "structured_outputs" and len(value) == 1:
        ((kind, content),) = value.items()
        if kind == "regex" and isinstance(content, str):
            return _of_regex(content)
        if kind == "json":
            return _of_schema(orjson.loads(content) if isinstance(content, str) else content)
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
    compact = {"whitespace_flexible": False}  # a weak model would generate white space for ever
    matcher = need("llguidance", extra="serve").LLMatcher
    return matcher.grammar_from_json_schema(schema, overrides=compact)

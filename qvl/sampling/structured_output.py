"""Structured output: requests for a JSON schema or a regular expression, and checks of the answers.

A server may ignore a parameter that it does not know, so a complete answer of another form is an error,
whatever the server reports.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from qvl.errors import UserError


@dataclass(frozen=True)
class ResponseFormat:
    """A JSON schema or a regular expression."""

    flag: str
    """of the command line, for errors"""
    schema: dict[str, Any] | None = None
    pattern: str | None = None

    def fields(self) -> dict[str, Any]:
        """The fields of a request: a schema as OpenAI names it, a pattern as vLLM and SGLang do."""
        if self.schema is not None:
            named = {"name": "answer", "schema": self.schema, "strict": True}
            return {"response_format": {"type": "json_schema", "json_schema": named}}
        return {"structured_outputs": {"regex": self.pattern}, "regex": self.pattern}

    def check(self, content: str, finish_reason: str | None) -> None:
        """UserError if a complete answer does not have the form."""
        if finish_reason != "stop" or self._has(content):
            return
        raise UserError(
            f"{self.flag}: the endpoint ignores it: it answered {_brief(content)}; "
            "qvl serve, vLLM and SGLang do"
        )

    def _has(self, content: str) -> bool:
        if self.pattern is not None:
            return re.fullmatch(self.pattern, content, re.DOTALL) is not None
        try:
            orjson.loads(content)
        except orjson.JSONDecodeError:
            return False
        return True


def read(json_schema: str | None, regex: str | None) -> ResponseFormat | None:
    """The response format of a command line; UserError if it is invalid."""
    if json_schema is not None and regex is not None:
        raise UserError("--json-schema and --regex: give only one of them")
    if regex is not None:
        try:
            re.compile(regex)
        except re.error as error:
            raise UserError(f"--regex {regex}: {error}") from None
        return ResponseFormat("--regex", pattern=regex)
    return (
        None
        if json_schema is None
        else ResponseFormat("--json-schema", schema=_schema(json_schema))
    )


def _schema(given: str) -> dict[str, Any]:
    inside = given.lstrip().startswith("{")
    where = "--json-schema" if inside else f"--json-schema {given}"
    try:
        schema = orjson.loads(given if inside else Path(given).read_bytes())
    except OSError as error:
        raise UserError(f"{where}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise UserError(f"{where}: not a JSON object")
    return schema


def _brief(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")

"""Several judges of one run: which models at which addresses, and what they say together."""

import contextlib
from collections.abc import Sequence
from typing import Any

from qvl import stage
from qvl.client import Client
from qvl.errors import EndpointError, UserError

FEWEST_ERRORS = 10  # below, a rate says little: our choice


def opened(
    stack: contextlib.ExitStack, urls: Sequence[str], models: Sequence[str], **options: Any
) -> list[Client]:
    """A client for each model, open until the stack ends; options are Client's.

    One model is served at all the addresses. As many models as addresses belong to one another;
    addresses of the same model share its work. Several models at one address are all asked there.
    Without models each address tells which one it serves.
    """
    if not urls:
        raise UserError("no judge; give --judge URL")
    if not models and len(urls) > 1:
        models = [_served(url, options) for url in urls]
    if len(urls) == 1:
        urls = [urls[0]] * max(1, len(models))
    if len(models) == 1:
        models = [models[0]] * len(urls)
    if models and len(models) != len(urls):
        raise UserError(
            f"{len(urls)} --judge and {len(models)} --judge-model: give one of either, or as many"
        )
    groups: dict[str | None, list[str]] = {}
    for url, model in zip(urls, models or [None], strict=True):
        groups.setdefault(model, []).append(url)
    return [
        stack.enter_context(Client(addresses, model, **options))
        for model, addresses in groups.items()
    ]


def _served(url: str, options: dict[str, Any]) -> str:
    with Client([url], **options) as client:
        return client.model


class Tolerance:
    """Counts verdicts and errors, and ends a run whose judges cannot be understood."""

    def __init__(self, most: float = stage.MAX_ERROR_RATE) -> None:
        self.most, self.verdicts, self.errors = most, 0, 0

    def count(self, verdicts: int, errors: int, example: str) -> None:
        """EndpointError where more than the share `most` of all so far are errors."""
        self.verdicts += verdicts
        self.errors += errors
        asked = self.verdicts + self.errors
        if errors and self.errors >= FEWEST_ERRORS and self.errors > self.most * asked:
            raise EndpointError(
                f"a model gave no verdict {self.errors:,} times of {asked:,}, as here: {example}; "
                "what was done is kept; --max-error-rate allows more"
            )

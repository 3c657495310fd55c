"""Several judges of one run: which models at which addresses, and what they say together."""

import contextlib
from collections.abc import Sequence
from typing import Any

from qvl.client import Client
from qvl.errors import UserError


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

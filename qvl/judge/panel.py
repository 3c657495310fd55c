"""The clients of several judges in one run: which models at which addresses."""

import contextlib
from collections.abc import Sequence
from typing import Any

from qvl.client import Client
from qvl.errors import UserError


def open_clients(
    stack: contextlib.ExitStack, urls: Sequence[str], models: Sequence[str], **options: Any
) -> list[Client]:
    """One client per model, open until the stack closes. options: those of Client.

    One model is served by all addresses, and several models may be served by one address. With as many
    models as addresses, each address serves the model at its position. Without models, each address
    reports the model that it serves. Addresses of one model share its requests.
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
            f"{len(urls)} --judge and {len(models)} --judge-model: give one of either, or as many of both"
        )
    groups: dict[str | None, list[str]] = {}
    for url, model in zip(urls, models or [None], strict=True):
        groups.setdefault(model, []).append(url)
    return [
        stack.enter_context(Client(addresses, model, **options))
        for model, addresses in groups.items()
    ]


def _served(url: str, options: dict[str, Any]) -> str:
    """The name of the model that an address serves."""
    with Client([url], **options) as client:
        return client.model

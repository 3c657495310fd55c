"""Chat completions by OpenAI-compatible endpoints, with bounded concurrency, input order and retries.

    with Client(["http://127.0.0.1:8000"], concurrency=64) as client:
        for record, answer in client.map(records, lambda record: Request(record["messages"])):
            ...

An event loop in a separate thread awaits the answers, so callers need no async: `complete` blocks and may
be called from many threads; `map` is an iterator. Leaving the context cancels requests in flight.
The key is read from QVL_API_KEY, else OPENAI_API_KEY; it is sent and never shown.

The classes are imported when first used, as asyncio and aiohttp are slow to import: the numbers here are
defaults of commands that often need no endpoint.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qvl.client.budget import Budget as Budget
    from qvl.client.client import Client as Client
    from qvl.client.client import Request as Request
    from qvl.client.retries import Refused as Refused

# The defaults of Client. Which failures are retried, and when: qvl.client.retries.
CONCURRENCY = 64  # requests in flight; an engine on a laptop batches as many well: our choice
RETRIES = 5  # with FIRST_BACKOFF_SECONDS, a request fails after 8 to 16 seconds: our choice
FIRST_BACKOFF_SECONDS = 0.5
TIMEOUT_SECONDS = 1800.0  # per answer; enough for 32,768 tokens at 20 per second

OFFERED = {  # name -> module
    "Budget": "budget",
    "Client": "client",
    "Refused": "retries",
    "Request": "client",
}


def __getattr__(name: str) -> Any:
    if name in OFFERED:
        return getattr(import_module(f"qvl.client.{OFFERED[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

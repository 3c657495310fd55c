"""Chat completions of OpenAI-compatible endpoints: bounded, in input order, retried.

    with Client(["http://127.0.0.1:8000"], concurrency=64) as client:
        for record, answer in client.map(records, lambda record: Request(record["messages"])):
            ...

An event loop in one thread does the waiting, so that callers stay plain: `complete` blocks and may be
called from many threads, `map` is an iterator. Leaving the context cancels what is in flight.
The key comes from QVL_API_KEY, else OPENAI_API_KEY, and is sent and never shown.

What costs at start-up, asyncio above all, is imported with the first of the classes that is used: the
numbers here are defaults of commands that often ask nobody.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qvl.client.budget import Budget as Budget
    from qvl.client.client import Client as Client
    from qvl.client.client import Request as Request

CONCURRENCY = 64  # requests in flight: our choice, what a laptop's engine batches well
RETRIES = 5  # with FIRST_BACKOFF_SECONDS, a request is given up after 8 to 16 seconds: our choice
FIRST_BACKOFF_SECONDS = 0.5
TIMEOUT_SECONDS = 1800.0  # of one answer: 32,768 tokens at 20 a second

OFFERED = {"Budget": "budget", "Client": "client", "Request": "client"}  # and where it is


def __getattr__(name: str) -> Any:
    if name in OFFERED:
        return getattr(import_module(f"qvl.client.{OFFERED[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""The client of endpoints; see qvl.client."""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import orjson

from qvl.client import CONCURRENCY, FIRST_BACKOFF_SECONDS, RETRIES, TIMEOUT_SECONDS, chat, scoring
from qvl.client import cache as answers
from qvl.client.answer import check_completion, read_answer, served_names
from qvl.client.budget import Budget
from qvl.client.cache import Cache, is_reproducible
from qvl.client.endpoint import SESSION, Endpoint, Sessions, load, parse
from qvl.client.loop import LoopThread
from qvl.client.retries import Failure, Refused, retried
from qvl.errors import UserError, need
from qvl.media.errors import MediaError

CHAT = "/v1/chat/completions"
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 2.0  # per connection: vLLM and SGLang close theirs after 5
DRAIN_SECONDS = 0.02  # between two checks whether all answers have arrived
WINDOW = 4  # submitted requests per request in flight, so that one slow answer blocks no other

Item = TypeVar("Item")


@dataclass(frozen=True)
class Request:
    """The messages of a record, and sampling parameters by their names in OpenAI's API."""

    messages: list[dict]
    sampling: dict[str, Any] = field(default_factory=dict)


class Client:
    """Endpoints that serve one model.

    root: the folder of media paths. cache: the path of a qvl.client.cache. budget: once it is spent,
    requests raise CheckFailed. Errors: Refused concerns one request; EndpointError (after the retries) and
    UserError (such as a wrong key or model) concern all.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        model: str | None = None,
        *,
        concurrency: int = CONCURRENCY,
        retries: int = RETRIES,
        timeout_seconds: float = TIMEOUT_SECONDS,
        first_backoff_seconds: float = FIRST_BACKOFF_SECONDS,
        root: Path = Path(),
        allow_remote: bool = False,
        cache: str | None = None,
        budget: Budget | None = None,
    ) -> None:
        if not endpoints:
            raise UserError(
                "no endpoint; give --endpoint URL, or run inside qvl serve MODEL -- ..."
            )
        if concurrency < 1:
            raise UserError(f"--concurrency {concurrency}: expected at least 1")
        self.endpoints = [parse(url) for url in endpoints]
        self._sessions = Sessions(load)
        self.concurrency, self.retries = concurrency, retries
        self.timeout_seconds, self.first_backoff_seconds = timeout_seconds, first_backoff_seconds
        self.root, self.allow_remote = root, allow_remote
        self._key = os.environ.get("QVL_API_KEY") or os.environ.get("OPENAI_API_KEY")
        self._aiohttp: Any = need("aiohttp", extra="client")
        self._model = model
        self._thread = LoopThread()
        self._ending = False  # no further requests
        self._budget = budget or Budget()
        self._cache = Cache(cache) if cache else None
        self._unsaved: list[
            tuple[bytes, dict]
        ] = []  # answers for the next transaction of the cache
        self._saved: asyncio.Future[None] | None = None  # done when these are stored
        self._known_route: scoring.Route | None = None  # of a reward model
        self._route_lock = asyncio.Lock()
        self.tokens = 0  # prompt and completion tokens, as the server counts them

    def __enter__(self) -> "Client":
        self._thread.begin(self._connect())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Cancel the requests in flight; their futures raise CancelledError.

        After an error, a client with a cache first awaits them, because they are paid for.
        """
        self._thread.refuse()
        try:
            if self._cache and kind is not None and issubclass(kind, UserError):
                self._thread.run(self._drain())
        finally:
            self._thread.end(self._disconnect())
            if self._cache:
                self._cache.close()

    @property
    def model(self) -> str:
        """The model's name: the one given, else the one that the first endpoint serves."""
        if self._model is None:
            self._model = self.start(self._served_model()).result()
        return self._model

    @property
    def facts(self) -> dict[str, int]:
        """Tokens spent and cache hits, for the account of a run."""
        hits = {"cache_hits": self._cache.hits} if self._cache else {}
        return {"tokens": self.tokens, **hits}

    def submit(self, messages: list[dict], **sampling: Any) -> "Future[dict]":
        """The pending answer of an endpoint. Sampling parameters that are None are omitted."""
        given = {name: value for name, value in sampling.items() if value is not None}
        return self.start(self.answer(self.model, messages, given))

    def complete(self, messages: list[dict], **sampling: Any) -> dict:
        """The answer of an endpoint, OpenAI's chat completion as a dict; blocks."""
        return self.submit(messages, **sampling).result()

    def score(self, messages: list[dict]) -> "Future[float]":
        """The pending raw score of a reward model for the last turn of a conversation.

        See qvl.client.scoring for the routes, and for the error of a server without one.
        """
        return self.start(self.scored(self.model, messages))

    def post(
        self, path: str, body: dict[str, Any], *, once: bool = False, session: str | None = None
    ) -> "Future[Any]":
        """The pending answer of an engine's own route; neither cached nor counted.

        session: requests of the same one go to the same server, as far as its load allows.

        once: for a command that changes the engine. It is not retried and waits for no slot, because the
        requests in flight may be waiting for it.
        """
        data = orjson.dumps(body)
        return self.start(
            self._posted_once(path, data) if once else self._posted(path, data, session)
        )

    def map(
        self, items: Iterable[Item], request: Callable[[Item], Request]
    ) -> Generator[tuple[Item, "dict | Refused"], None, None]:
        """Each item with its answer, in order. The window is bounded, so items may be infinite."""
        window: deque[tuple[Item, Future[dict]]] = deque()
        try:
            for item in items:
                each = request(item)
                window.append((item, self.submit(each.messages, **each.sampling)))
                while window and (len(window) >= WINDOW * self.concurrency or window[0][1].done()):
                    yield _settled(*window.popleft())
            while window:
                yield _settled(*window.popleft())
        finally:
            for _, future in window:
                future.cancel()

    def start(self, work: Any) -> "Future[Any]":
        """The future of a coroutine that runs in the client's loop and may await `answer`."""
        return self._thread.submit(work)

    # What follows runs in the event loop's thread.

    async def _connect(self) -> None:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        limits = {"total": self.timeout_seconds, "sock_connect": CONNECT_SECONDS}
        timeout = self._aiohttp.ClientTimeout(**limits)
        connector = self._aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS)
        self._session = self._aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            timeout=timeout,
            cookie_jar=self._aiohttp.DummyCookieJar(),  # no API needs one, and each request would ask it
        )
        self._slots = asyncio.Semaphore(self.concurrency)

    async def _drain(self) -> None:
        self._ending = True
        while any(endpoint.busy for endpoint in self.endpoints):
            await asyncio.sleep(DRAIN_SECONDS)

    async def _disconnect(self) -> None:
        await self._session.close()

    async def answer(self, model: str, messages: list[dict], sampling: dict[str, Any]) -> dict:
        """The endpoint's answer. `model` is a parameter, as the name may have to be fetched first."""
        async with self._slots:
            if chat.has_media(messages):  # reading files would block the event loop
                messages = await self._with_media(messages)
            body = orjson.dumps({"model": model, "messages": messages, **sampling})
            key = body if is_reproducible(sampling) else None
            return await self._paid(CHAT, body, check_completion, _usage, key=key)

    async def scored(self, model: str, messages: list[dict]) -> float:
        """A reward model's raw score. See `answer` for `model`."""
        async with self._slots:
            route = await self._route()
            if chat.has_media(messages):
                messages = await self._with_media(messages)
            body = scoring.encoded(route, model, messages)

            def check(answer: dict) -> dict:
                scoring.score(route, answer)
                return answer

            def tokens(answer: dict) -> int:
                return scoring.score(route, answer).tokens

            # SGLang's body has no model's name, and two routes may have the same body.
            key = b"\n".join((route.path.encode(), model.encode(), body))
            answer = await self._paid(route.path, body, check, tokens, key=key)
            return scoring.score(route, answer).value

    async def _posted(self, path: str, body: bytes, session: str | None) -> Any:
        async with self._slots:
            return await self._retried("POST", path, body, lambda answer: answer, session=session)

    async def _posted_once(self, path: str, body: bytes) -> Any:
        return await self._retried("POST", path, body, lambda answer: answer, retries=0)

    async def _route(self) -> scoring.Route:
        """The route of the reward model, which the first request determines for all."""
        async with self._route_lock:
            if self._known_route is None:
                described = await self._retried("GET", "/openapi.json", None, lambda answer: answer)
                self._known_route = scoring.find(described, self.endpoints[0].name)
        return self._known_route

    async def _paid(
        self,
        path: str,
        body: bytes,
        check: Callable[[dict], dict],
        tokens: Callable[[dict], int],
        *,
        key: bytes | None,
    ) -> dict:
        """The cached answer of `key`, else the endpoint's, which is counted and cached.

        Without a key it is not cached.
        """
        digest = answers.key(key) if self._cache and key else None
        if self._cache and digest and (known := self._cache.get(digest)):
            return known
        if self._ending:
            raise asyncio.CancelledError
        self._budget.check()
        answer = await self._retried("POST", path, body, check)
        spent = tokens(answer)
        self.tokens += spent
        self._budget.add(spent)
        if digest:
            await self._save(digest, answer)
        return answer

    async def _save(self, key: bytes, answer: dict) -> None:
        """Return once the answer is in the cache. Answers that arrive together are stored together."""
        self._unsaved.append((key, answer))
        if self._saved is None:
            loop = self._thread.loop
            self._saved = loop.create_future()
            loop.call_soon(self._save_all)
        await asyncio.shield(self._saved)

    def _save_all(self) -> None:
        arrived, saved = self._unsaved, self._saved
        self._unsaved, self._saved = [], None
        assert self._cache and saved
        try:
            self._cache.put(arrived)
        except UserError as error:
            saved.set_exception(error)
        else:
            saved.set_result(None)

    async def _with_media(self, messages: list[dict]) -> list[dict]:
        try:
            return await asyncio.to_thread(
                chat.to_openai, messages, self.root, allow_remote=self.allow_remote
            )
        except MediaError as error:  # an invalid reference concerns its record alone
            raise Refused(str(error)) from None

    async def _served_model(self) -> str:
        answer = await self._retried("GET", "/v1/models", None, lambda answer: answer)
        names = served_names(answer)
        if len(names) != 1:
            raise UserError(
                f"{self.endpoints[0].name} serves {', '.join(names) or 'no model'}; "
                "choose one with --model"
            )
        return names[0]

    def _retried(
        self,
        method: str,
        path: str,
        body: bytes | None,
        check: Callable[[dict], dict],
        retries: int | None = None,
        session: str | None = None,
    ) -> Coroutine[Any, Any, dict]:
        """The coroutine of a request with retries. retries: None for those of the client."""
        headers = None if session is None else {SESSION: session}
        return retried(
            self.endpoints,
            lambda: self._sessions.choose(self.endpoints, session),
            lambda endpoint: self._once(endpoint, method, path, body, headers),
            check,
            retries=self.retries if retries is None else retries,
            first_backoff_seconds=self.first_backoff_seconds,
            is_ending=lambda: self._ending,
        )

    async def _once(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str] | None,
    ) -> dict:
        endpoint.busy += 1
        endpoint.requests += 1
        try:
            # A redirect could send the key elsewhere.
            async with self._session.request(
                method, endpoint.base + path, data=body, headers=headers, allow_redirects=False
            ) as answer:
                content = await answer.read()
                return read_answer(
                    answer.status, answer.headers, content, name=endpoint.name, secret=self._key
                )
        except self._aiohttp.ConnectionTimeoutError:
            raise Failure(f"no connection within {CONNECT_SECONDS:.0f} s") from None
        except TimeoutError:
            raise Failure(f"no answer within {self.timeout_seconds:.0f} s") from None
        except self._aiohttp.ClientError as error:
            raise Failure(_reason(error)) from None
        finally:
            endpoint.busy -= 1


def _usage(answer: dict) -> int:
    """The prompt and completion tokens of a chat completion."""
    return sum(answer["usage"].get(f"{kind}_tokens", 0) for kind in ("prompt", "completion"))


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", None)
    if cause is not None and cause.errno:
        return (os.strerror(cause.errno) if cause.errno > 0 else str(cause)).lower()
    return " ".join(str(error).split()) or type(error).__name__  # some are of several lines


def _settled(item: Item, future: "Future[dict]") -> "tuple[Item, dict | Refused]":
    try:
        return item, future.result()
    except Refused as refused:
        return item, refused

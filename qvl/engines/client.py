"""A client of a running engine, the same for vLLM, SGLang and the local engine.

    with connect("http://127.0.0.1:8000", folder) as engine:
        params = SamplingParams(max_tokens=64, seed=3)
        completion = engine.generate(TokensPrompt(ids, images), params).result()
        whole = TokensPrompt([*ids, *completion.token_ids], images)
        count = len(completion.token_ids)
        teacher = engine.prompt_logprobs(whole, top=64, last=count).result()
        engine.load_weights(Path("step-100"), "step-100")

In a conversation the next prompt is the ids of the last one, the sampled ids and those of the next
turn; nothing is rendered or tokenised again. The tokens of images and videos are never sampled, whatever
their log-probs: the next prompt would be short of an image. At temperature 0 SGLang takes the most
likely token all the same. Weights are known by a version, any string.
"""

import importlib
import itertools
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self

from qvl.client import RETRIES, Client, Refused
from qvl.engines import probe, weights
from qvl.engines.prompt_rules import PromptRules
from qvl.engines.tokens import (
    Completion,
    PromptLogprobs,
    SamplingParams,
    TokensPrompt,
    checked,
    checked_prompt,
)
from qvl.errors import EndpointError, UserError

CLIENTS = {  # backend -> its class, imported when it is connected to
    "vllm": "qvl.engines.vllm.client:VllmClient",
    "sglang": "qvl.engines.sglang.client:SglangClient",
    "local": "qvl.engines.local.client:LocalClient",
}
# What reading JSON of another shape raises.
MISSHAPEN = (AttributeError, LookupError, TypeError, ValueError)
NO_VIDEOS = (
    "{endpoint}: it samples other frames of a video than qvl; use qvl serve --backend sglang"
)
PROBE_TOKENS = tuple(
    range(1, 129, 2)
)  # scored before and after new weights; text in any vocabulary


class MisshapenAnswer(EndpointError):
    """An engine answered in another shape than its kind does."""


class WeightUpdateFailed(EndpointError):
    """An engine did not take new weights, and still serves the previous ones."""


class EngineClient(ABC):
    """A connection to a running engine, to be used in a `with`. Abstract: what differs per engine."""

    PAUSE: ClassVar[tuple[str, dict]]
    RESUME: ClassVar[tuple[str, dict]]
    SLEEP: ClassVar[tuple[str, dict]]
    WAKE: ClassVar[tuple[str, dict]]
    """routes and bodies"""

    def __init__(
        self, folder: Path, rules: PromptRules, client: Client, facts: dict[str, Any]
    ) -> None:
        """folder: of the weights that the engine was started with. facts: as qvl.engines.probe returns them."""
        self.first_folder, self.rules, self.client = folder, rules, client
        self.endpoint: str = facts["endpoint"]
        self.weight_version: str = facts["weight_version"] or weights.FIRST_VERSION
        self.folder = self._served_folder(facts["weights_folder"])
        self.model: str = facts["models"][0]
        self.max_model_len: int | None = facts["max_model_len"]
        self.takes_weights = "weights" in facts["capabilities"]
        self.takes_videos = "videos" in facts["capabilities"]

    def __enter__(self) -> Self:
        self.client.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.client.__exit__(kind, error, trace)

    def generate(self, prompt: TokensPrompt, params: SamplingParams) -> "Future[Completion]":
        """Sample a completion. UserError for a wrong prompt; other errors are those of qvl.client."""
        expanded = self._expand(prompt)
        route, body = self.generate_request(prompt, params)
        response = self.client.post(route, body, session=prompt.session)
        return self._parsed(
            response, lambda body: checked(self.parse_completion(body, expanded, params))
        )

    def prompt_logprobs(
        self, prompt: TokensPrompt, top: int = 0, last: int | None = None
    ) -> "Future[PromptLogprobs]":
        """The log-probabilities of given tokens, and the `top` most likely tokens per position.

        last: of so many tokens at the end, which an engine may answer sooner; None is all.
        """
        expanded = self._expand(prompt)
        count = len(expanded) if last is None else last
        if not 1 <= count <= len(expanded):
            raise ValueError(f"the last {count} of {len(expanded)} tokens")
        response = self.client.post(*self.prompt_logprobs_request(prompt, top, count))

        def parse(body: Any) -> PromptLogprobs:
            found = self.parse_prompt_logprobs(body, expanded, top, count)
            return checked_prompt(found, top, count)

        return self._parsed(response, parse)

    def load_weights(self, folder: Path, version: str) -> None:
        """Serve the weights of another folder from now on, known as `version`.

        UserError if the folder's tensors differ from the served ones in name or shape. During the
        update nothing is answered; requests in flight finish on the previous weights.
        An engine that fails to load them, or whose log-probs stay the same bit for bit, gets the previous
        weights back: WeightUpdateFailed. If that fails too, or they are not known, it stays paused and must
        be restarted: EndpointError.
        """
        self._check_loadable(folder)
        before = self._probe_weights()
        self._pause_for_update()
        try:
            self._load_weights(folder, version)
        except (Refused, UserError) as error:
            self._restore(f"{folder}: {error}")
        self._resume_after_update()
        # The update of a client that was killed may have come in between, with these very weights.
        known = self.folder if before.weight_version == self.weight_version else None
        after = self._probe_weights()
        unchanged = not weights.logprobs_differ(_values(before), _values(after))
        if unchanged and known and not weights.same_language_weights(known, folder):
            self._pause_for_update()
            self._restore(f"{folder}: its log-probs are those of the previous weights")
        self.folder, self.weight_version = folder, version

    def pause(self) -> None:
        """Finish the requests in flight, and hold new ones back."""
        self._command(*self.PAUSE)

    def resume(self) -> None:
        """Answer the requests that were held back, and new ones."""
        self._command(*self.RESUME)

    def sleep(self) -> None:
        """Pause, and free the accelerator's memory; on a CPU there is none."""
        self.pause()
        self._command(*self.SLEEP)

    def wake(self) -> None:
        """Allocate the accelerator's memory again, and resume."""
        self._command(*self.WAKE)
        self.resume()

    @abstractmethod
    def generate_request(self, prompt: TokensPrompt, params: SamplingParams) -> tuple[str, dict]:
        """The route and the body that sample a completion."""

    @abstractmethod
    def prompt_logprobs_request(
        self, prompt: TokensPrompt, top: int, last: int
    ) -> tuple[str, dict]:
        """The route and the body that score the last tokens of a prompt."""

    @abstractmethod
    def parse_completion(
        self, body: Any, expanded: list[int], params: SamplingParams
    ) -> Completion:
        """The completion in a response. EndpointError if the engine's prompt is not `expanded`."""

    @abstractmethod
    def parse_prompt_logprobs(
        self, body: Any, expanded: list[int], top: int, last: int
    ) -> PromptLogprobs:
        """The log-probs in a response. EndpointError if the engine's prompt is not `expanded`."""

    @abstractmethod
    def _load_weights(self, folder: Path, version: str) -> None:
        """Load new weights into a paused engine, empty all its caches, set its version."""

    def _served_folder(self, reported: str | None) -> Path | None:
        """Of the weights that are served; None if another client loaded them and they are not here."""
        if self.weight_version == weights.FIRST_VERSION:
            return self.first_folder
        here = reported is not None and (Path(reported) / "config.json").is_file()
        return Path(reported) if reported is not None and here else None

    def _expand(self, prompt: TokensPrompt) -> list[int]:
        if prompt.videos and not self.takes_videos:
            raise UserError(NO_VIDEOS.format(endpoint=self.endpoint))
        return self.rules.expand(prompt)

    def _parsed(self, response: "Future[Any]", parse: Callable[[Any], Any]) -> "Future[Any]":
        """The future of parse(response). MisshapenAnswer for a response of another shape."""

        def parsed(body: Any) -> Any:
            try:
                return parse(body)
            except MISSHAPEN as error:
                reason = f"{type(error).__name__}: {error}"[:200]
                raise MisshapenAnswer(
                    f"{self.endpoint}: answered 200 in another shape than expected ({reason})"
                ) from None

        return _map(response, parsed)

    def _check_loadable(self, folder: Path) -> None:
        if not self.takes_weights:
            raise UserError(f"{self.endpoint}: this engine cannot load new weights")
        weights.check_same_shapes(self.first_folder, folder)

    def _pause_for_update(self) -> None:
        self.pause()

    def _resume_after_update(self) -> None:
        self.resume()

    def _restore(self, reason: str) -> NoReturn:
        """Load the previous weights again, and raise the reason."""
        if self.folder is None:
            raise EndpointError(
                f"{reason}; the previous weights, {self.weight_version!r}, are not at hand: "
                f"{self.endpoint} is paused, restart it"
            )
        try:
            self._load_weights(self.folder, self.weight_version)
        except (Refused, UserError) as error:
            raise EndpointError(
                f"{reason}; the previous weights could not be restored either ({error}): "
                f"{self.endpoint} is paused, restart it"
            ) from None
        self._resume_after_update()
        raise WeightUpdateFailed(
            f"{reason}; {self.endpoint} serves the previous weights, {self.weight_version!r}"
        )

    def _probe_weights(self) -> PromptLogprobs:
        return self.prompt_logprobs(TokensPrompt(PROBE_TOKENS)).result()

    def _command(self, path: str, body: dict) -> dict:
        """Send a request that changes the engine: without retries, and outside the request limit."""
        return self.client.post(path, body, once=True).result()


class FleetClient(EngineClient):
    """Several replicas behind one address, which load weights and pause together: qvl.engines.fleet.

    A mixin for the class of their engine. During an update some answer with the previous weights.
    """

    PAUSE: ClassVar = ("/pause", {})
    RESUME: ClassVar = ("/resume", {})
    SLEEP: ClassVar = ("/sleep", {})
    WAKE: ClassVar = ("/wake_up", {})

    def load_weights(self, folder: Path, version: str) -> None:
        self._check_loadable(folder)
        try:
            self._command(weights.UPDATE_ROUTE, weights.update_body(folder, version))
        except Refused as refused:
            raise WeightUpdateFailed(str(refused)) from None
        self.folder, self.weight_version = folder, version


def connect(
    endpoint: str,
    folder: Path,
    *,
    concurrency: int = 64,
    others: Sequence[str] = (),
    retries: int = RETRIES,
) -> EngineClient:
    """A client of the engine at an address, which was started with `folder`; use it in a `with`.

    others: addresses of engines of the same kind with the same weights, which share the requests.
    """
    facts = probe.probe(endpoint)
    backend = facts["backend"]
    if backend is None or "token_ids" not in facts["capabilities"]:
        raise UserError(f"{endpoint}: it does not take token ids; qvl serve, vLLM and SGLang do")
    if not facts["models"]:
        raise UserError(f"{endpoint}: serves no model")
    for each in others:
        if probe.probe(each)["backend"] != backend:
            raise UserError(f"{each}: it is no {backend}, as {endpoint} is")
    module, name = CLIENTS[backend].split(":")
    kind = getattr(importlib.import_module(module), name)
    if "replicas" in facts["capabilities"]:
        kind = type("FleetClient", (FleetClient, kind), {})
    rules = PromptRules.load(folder)
    client = Client(
        [endpoint, *others], facts["models"][0], concurrency=concurrency, retries=retries
    )
    return kind(folder, rules, client, facts)


def _values(found: PromptLogprobs) -> list[float]:
    return [each for each in found.logprobs if each is not None]


def check_expansion(expanded: list[int], reported: list[int]) -> None:
    """EndpointError if the engine's token ids of a prompt are not those that qvl expanded."""
    if expanded == reported:
        return
    pairs = itertools.zip_longest(expanded, reported)
    place = next(i for i, (ours, theirs) in enumerate(pairs) if ours != theirs)
    ours = expanded[place] if place < len(expanded) else None
    theirs = reported[place] if place < len(reported) else None
    raise EndpointError(
        f"the engine read another prompt: {len(reported)} tokens, expected {len(expanded)}; at "
        f"position {place} it has {theirs}, expected {ours}"
    )


def _map(response: "Future[Any]", parse: Callable[[Any], Any]) -> "Future[Any]":
    """A future of parse(response); cancelling it cancels the request."""
    parsed: Future[Any] = Future()

    def settle(answered: "Future[Any]") -> None:
        if not parsed.set_running_or_notify_cancel():
            return
        try:
            parsed.set_result(parse(answered.result()))
        except BaseException as error:  # noqa: BLE001 - raised where the result is read
            parsed.set_exception(error)

    parsed.add_done_callback(lambda _: response.cancel())  # no effect once it is done
    response.add_done_callback(settle)
    return parsed

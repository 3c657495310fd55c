"""One episode: think, act, read what came back, answer.

The answers of the engine drive it: a thread of a pool reads a turn, runs its calls and asks for the next
one, so that no episode waits for another.
"""

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from typing import Any

from qvl.agent import calls
from qvl.agent.calls import FORM, Call, Turn, Unreadable
from qvl.agent.images import Shown, ToolImages
from qvl.agent.settings import AgentSettings
from qvl.agent.tools import Context
from qvl.agent.tools.observation import Observation, failed
from qvl.agent.tools.toolbox import Toolbox
from qvl.agent.trajectory import Dialogue, Trajectory, noted
from qvl.client import Refused
from qvl.engines.client import EngineClient
from qvl.engines.tokens import Completion, SamplingParams, TokensPrompt


@dataclass(frozen=True)
class Prepared:
    """A record's prompt, which all its episodes share."""

    ids: list[int]
    """One pad per image or video."""
    length: int
    """Images and videos expanded."""
    images: list[str]
    """data: URIs."""
    videos: list[str]
    context: Context
    session: str
    """Of all episodes, whose prompts begin alike."""
    allowed: list[str] | None
    """Names of the tools that the record declares; None: all."""
    media: dict[str, Any]
    """`images` and `grids` of the prompt, as in a packed line."""


@dataclass(frozen=True)
class Wanted:
    """How an episode is sampled."""

    params: SamplingParams
    """max_tokens and seed are those of each turn."""
    seeds: Callable[[int], int | None]
    """The seed of a turn, by its number from 1."""
    sampling: dict[str, Any]
    """As the response reports it."""


@dataclass(frozen=True)
class Surroundings:
    """What the episodes of a run share."""

    settings: AgentSettings
    engine: EngineClient
    dialogue: Dialogue
    toolbox: Toolbox
    keep: ToolImages
    max_context: int
    submit: Callable[[Callable[[], None]], None]
    """Runs what goes on with an episode; CancelledError after the end of the run."""


class Episode:
    """Runs until it has a response; `start` returns its future."""

    def __init__(self, around: Surroundings, prepared: Prepared, wanted: Wanted) -> None:
        self._around, self._prepared, self._wanted = around, prepared, wanted
        self._done: Future[dict[str, Any]] = Future()
        self._done.set_running_or_notify_cancel()
        self._so_far = Trajectory(prepared.ids, prepared.images, prepared.length, around.dialogue)

    def start(self) -> "Future[dict[str, Any]]":
        """The response to come. Errors are those of qvl.client, among them a refused first prompt."""
        try:
            self._ask()
        except BaseException as error:  # noqa: BLE001 (raised where the response is awaited)
            self._done.set_exception(error)
        return self._done

    def _ask(self) -> None:
        """Request the next turn, or end where no token is left."""
        settings, so_far = self._around.settings, self._so_far
        left = min(
            settings.max_tokens - len(so_far.logprobs),
            self._around.max_context - so_far.length,
            settings.max_turn_tokens or settings.max_tokens,
        )
        if left < 1:
            self._end("length")
            return
        wanted = self._wanted
        params = replace(wanted.params, max_tokens=left, seed=wanted.seeds(so_far.turns + 1))
        prepared = self._prepared
        asked = TokensPrompt(so_far.ids, so_far.uris, prepared.videos, prepared.session)
        self._around.engine.generate(asked, params).add_done_callback(self._answered)

    def _answered(self, future: "Future[Completion]") -> None:
        """Go on in a thread of the pool: this one is the client's."""
        try:
            self._around.submit(lambda: self._guarded(future))
        except CancelledError as error:
            self._done.set_exception(error)

    def _guarded(self, future: "Future[Completion]") -> None:
        try:
            self._go_on(future)
        except BaseException as error:  # noqa: BLE001 (raised where the response is awaited)
            self._done.set_exception(error)

    def _go_on(self, future: "Future[Completion]") -> None:
        so_far, renderer = self._so_far, self._around.dialogue.renderer
        try:
            completion = future.result()
        except Refused as refused:
            if not so_far.turns:
                raise
            self._end("refused", str(refused))
            return
        text = renderer.tokenizer.decode(completion.token_ids)
        turn = calls.read(text, opens_thought=renderer.opens_thought)
        so_far.add_turn(completion, turn)
        if completion.finish_reason != "stop":
            self._end("length")
        elif not turn.calls or completion.token_ids[-1] != self._around.dialogue.end_of_turn:
            self._end("stop")
        elif so_far.turns >= self._around.settings.max_turns:
            so_far.calls += [noted(call, so_far.turns, failed=True) for call in turn.calls]
            self._end("turns")
        else:
            self._act(turn)

    def _act(self, turn: Turn) -> None:
        """Run the calls of a turn, and ask for the next one if what they return fits."""
        so_far, around = self._so_far, self._around
        messages: list[dict[str, Any]] = []
        shown: list[Shown] = []
        for observation in self._observations(turn):
            own, observation = self._kept(observation)
            messages.append(around.dialogue.message(observation, own))
            shown += own
        ids = around.dialogue.following(messages)
        if so_far.length + len(so_far.expanded(ids, shown)) >= around.max_context:
            self._end("length")
            return
        so_far.add_observations(messages, ids, shown)
        self._ask()

    def _observations(self, turn: Turn) -> list[Observation]:
        """One per call, and one for all that are too many."""
        so_far, most = self._so_far, self._around.settings.max_calls
        found = []
        for call in turn.calls[:most]:
            observation = self._run(call)
            so_far.calls.append(noted(call, so_far.turns, failed=observation.failed))
            found.append(observation)
        further = turn.calls[most:]
        if further:
            so_far.calls += [noted(call, so_far.turns, failed=True) for call in further]
            found.append(
                failed(
                    f"Error: {len(turn.calls)} calls in one turn; the {len(further)} after the first "
                    f"{most} were not run"
                )
            )
        return found

    def _run(self, call: Call | Unreadable) -> Observation:
        if isinstance(call, Unreadable):
            return failed(f"Error: the call cannot be read: {call.reason}; expected\n{FORM}")
        prepared = self._prepared
        return self._around.toolbox(call.name, call.arguments, prepared.context, prepared.allowed)

    def _kept(self, observation: Observation) -> tuple[list[Shown], Observation]:
        """The images of an observation, kept, or the observation that says why they cannot be shown."""
        keep = self._around.keep
        try:
            return [keep(x) for x in observation.parts if not isinstance(x, str)], observation
        except ValueError as error:
            return [], failed(f"Tool Execution Error {error}")

    def _end(self, finish_reason: str, detail: str = "") -> None:
        self._done.set_result(self._so_far.response(finish_reason, self._wanted.sampling, detail))

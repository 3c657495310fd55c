"""Episodes of many records against one engine."""

import contextlib
import secrets
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from qvl.agent.episode import Episode, Prepared, Surroundings, Wanted
from qvl.agent.images import ToolImages
from qvl.agent.settings import AgentSettings
from qvl.agent.tools.toolbox import Toolbox
from qvl.agent.trajectory import Dialogue
from qvl.client import Refused, chat
from qvl.engines.client import EngineClient
from qvl.engines.serving import launch
from qvl.engines.tokens import TokensPrompt
from qvl.errors import UserError
from qvl.pack.render import Renderer
from qvl.record import prompt
from qvl.stage import Drop


class Group(NamedTuple):
    """The episodes of a record."""

    responses: list[dict[str, Any]]
    media: dict[str, Any]
    """`images` and `grids` of the prompt, as in a packed line."""


class Agent:
    """Runs the episodes of records; used as a context."""

    def __init__(
        self,
        settings: AgentSettings,
        engine: EngineClient,
        model: Path,
        root: Path,
        *,
        allow_remote: bool = False,
    ) -> None:
        """model: its Hugging Face folder. root: of media. UserError for tools that cannot be used."""
        settings.check()
        self.settings, self.engine = settings, engine
        self.renderer = Renderer(model, media_root=root, allow_remote=allow_remote)
        self.toolbox = Toolbox(settings.tools, root, allow_remote=allow_remote)
        self._around = Surroundings(
            settings=settings,
            engine=engine,
            dialogue=Dialogue(self.renderer),
            toolbox=self.toolbox,
            keep=ToolImages(root, settings.images, self.renderer.rules),
            max_context=settings.max_context or launch.model_len(launch.check_folder(model), None),
            submit=self._submit,
        )
        self._threads = ThreadPoolExecutor(settings.threads, "qvl-episode")
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Agent":
        self._stack.enter_context(self.toolbox)
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._stack.close()

    def with_tools(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record with the schemas of the tools, where it has no `tools` and they are to be written."""
        if "tools" in record or not self.settings.schemas:
            return record
        return {**record, "tools": list(self.toolbox.schemas.values())}

    def submit(self, record: dict[str, Any], wanted: Sequence[Wanted]) -> "Future[Group | Drop]":
        """The episodes of a record; a Drop where it has no prompt, or the engine refuses it."""
        done: Future[Group | Drop] = Future()
        done.set_running_or_notify_cancel()
        self._submit(lambda: self._begin(record, wanted, done))
        return done

    def _begin(
        self, record: dict[str, Any], wanted: Sequence[Wanted], done: "Future[Group | Drop]"
    ) -> None:
        try:
            prepared = self._prepared(record)
        except BaseException as error:  # noqa: BLE001 (raised where the group is awaited)
            done.set_exception(error)
            return
        if isinstance(prepared, Drop):
            done.set_result(prepared)
            return
        futures = [Episode(self._around, prepared, each).start() for each in wanted]
        gather = _Gather(futures, prepared.media, done)
        for each in futures:
            each.add_done_callback(gather.one_more)

    def _prepared(self, record: dict[str, Any]) -> Prepared | Drop:
        """The prompt of a record. MediaError for media that are missing."""
        asked = self.with_tools(record)
        rendered = self.renderer.prompt(asked)
        if isinstance(rendered, Drop):
            return rendered
        messages, renderer = prompt(asked), self.renderer
        images, videos = chat.media_uris(
            messages, renderer.media_root, allow_remote=renderer.allow_remote
        )
        try:
            length = len(self.engine.rules.expand(TokensPrompt(rendered.ids, images, videos)))
        except UserError as error:
            return Drop("prompt", str(error))
        if length >= self._around.max_context:
            return Drop("too-long", f"{length} tokens, --max-context {self._around.max_context}")
        return Prepared(
            ids=list(rendered.ids),
            length=length,
            images=images,
            videos=videos,
            context=self.toolbox.context(users_images(messages)),
            session=secrets.token_hex(8),
            allowed=_names(record["tools"]) if record.get("tools") else None,
            media={"images": rendered.images, "grids": rendered.grids},
        )

    def _submit(self, work: Any) -> None:
        try:
            self._threads.submit(work)
        except RuntimeError:  # the run has ended
            raise CancelledError from None


class _Gather:
    """Settles the future of a group when its last episode is done."""

    def __init__(
        self,
        futures: "Sequence[Future[dict[str, Any]]]",
        media: dict[str, Any],
        done: "Future[Group | Drop]",
    ) -> None:
        self._futures, self._media, self._done = futures, media, done
        self._left = list(range(len(futures)))  # popping an element is atomic

    def one_more(self, _: object) -> None:
        self._left.pop()
        if self._left or self._done.done():
            return
        try:
            self._done.set_result(Group([each.result() for each in self._futures], self._media))
        except Refused as refused:
            self._done.set_result(Drop("refused", str(refused)))
        except BaseException as error:  # noqa: BLE001 (raised where the group is awaited)
            self._done.set_exception(error)


def users_images(messages: list[dict[str, Any]]) -> list[str]:
    """The references of the images in the user's turns: those that a tool's img_idx counts."""
    return [
        part["image"]
        for message in messages
        if message.get("role") == "user" and isinstance(message.get("content"), list)
        for part in message["content"]
        if part.get("type") == "image"
    ]


def _names(schemas: Any) -> list[str]:
    return [
        each["function"]["name"]
        for each in schemas or ()
        if isinstance(each, dict) and isinstance(each.get("function"), dict)
    ]

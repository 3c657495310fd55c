"""The local engine as a service: what its chat routes (chat.py) and token routes (control.py) share."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from qvl.engines.local.batch import Row
from qvl.engines.local.checkpoint import Checkpoint
from qvl.engines.local.engine import Engine, EngineFailed
from qvl.engines.local.grammar import Grammars
from qvl.engines.local.media import RequestMedia, known_images
from qvl.engines.serving.launch import DEFAULT_MODEL_LEN
from qvl.errors import UserError

READERS = 2  # threads that render prompts and preprocess images
MOST_COMPOSED = 3  # characters that Unicode composition, before tokenisation, makes one of

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class LocalOptions:
    """How the local engine serves."""

    name: str
    """the model's name in requests"""
    max_batch: int = 64
    """rows decoded together: our choice, where a laptop's throughput levels off"""
    max_model_len: int | None = None
    """tokens of prompt and completion; None is 8,192 or the checkpoint's own limit, if lower"""
    media_root: Path | None = None
    """requests may name files of images and videos below it; None allows data: URIs only"""
    key: str | None = None
    """that a request's Authorization must hold"""


class Service:
    """A loaded checkpoint, the engine that decodes with it, and the threads that read requests."""

    def __init__(self, checkpoint: Checkpoint, options: LocalOptions) -> None:
        self.checkpoint, self.options = checkpoint, options
        limit = checkpoint.max_positions
        self.max_model_len = options.max_model_len or min(DEFAULT_MODEL_LEN, limit)
        if self.max_model_len > limit:
            raise UserError(
                f"--max-model-len {self.max_model_len}: the checkpoint's limit is {limit}"
            )
        self.engine = Engine(checkpoint, options.max_batch, self._row_failed)
        vocabulary = checkpoint.model.config.text_config.vocab_size
        self.grammars = Grammars(checkpoint.tokenizer, vocabulary, checkpoint.end_tokens)
        self._images = known_images()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="prompts")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="answers")
        self._pending: dict[Row, asyncio.Future[Row]] = {}

    def start(self) -> None:
        """Start the engine's thread; called in the event loop that serves."""
        self.loop = asyncio.get_running_loop()
        self.engine.start()

    async def stop(self) -> None:
        """Stop the engine's thread; rows in progress fail."""
        await asyncio.to_thread(self.engine.close)
        for each in (self._readers, self._writer):
            each.shutdown(wait=False, cancel_futures=True)

    async def read(self, function: Callable[..., Result], *args: Any) -> Result:
        """function(*args) in a reader's thread."""
        return await self.loop.run_in_executor(self._readers, function, *args)

    async def write(self, function: Callable[..., Result], *args: Any) -> Result:
        """function(*args) in the thread that builds answers; of thousands of tokens it takes a second.

        One thread, because the event loop takes its turn with every thread that computes.
        """
        return await self.loop.run_in_executor(self._writer, function, *args)

    def media(self) -> RequestMedia:
        """The reader of a request's media."""
        checkpoint = self.checkpoint
        return RequestMedia(
            checkpoint.image_rules,
            checkpoint.video_rules,
            self.options.media_root,
            self.max_model_len,
            self._images,
        )

    def check_text(self, length: int) -> None:
        """UserError for a text of so many characters that it need not be tokenised to be too long."""
        if length > MOST_COMPOSED * self.max_model_len * self.checkpoint.longest_token:
            raise UserError(
                f"the context length is {self.max_model_len} tokens; the prompt has "
                f"{length:,} characters"
            )

    async def decode(self, rows: list[Row]) -> None:
        """Wait until all rows are finished; stop them if the client disconnects."""
        futures = []
        for row in rows:
            self._pending[row] = self.loop.create_future()
            futures.append(self._pending[row])
            self.engine.submit(row)
        try:
            await asyncio.gather(*futures)
        finally:
            for row in rows:
                row.is_cancelled = row.finish_reason is None
                self._pending.pop(row, None)

    def row_finished(self, row: Row) -> None:
        """Called in the engine's thread."""
        self.loop.call_soon_threadsafe(self._settle, row, None)

    def _row_failed(self, row: Row, error: EngineFailed) -> None:
        """Called in the engine's thread."""
        self.loop.call_soon_threadsafe(self._settle, row, error)

    def _settle(self, row: Row, error: EngineFailed | None) -> None:
        future = self._pending.pop(row, None)
        if future is None or future.done():
            return
        if error is None:
            future.set_result(row)
        else:
            future.set_exception(error)

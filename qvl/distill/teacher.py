"""Teachers at endpoints: they score given sequences, several at once.

A prompt goes as token ids, so a teacher scores exactly what the student reads. What would make its
log-probs meaningless is found when it is opened, or at the first sequence: another tokenizer, another
chat template, fewer log-probs than requested, a context that is too short.
"""

import contextlib
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from qvl.client import Refused, chat
from qvl.distill import codes, tokenizer
from qvl.distill.codes import Rounding
from qvl.distill.settings import RETRIES, TeacherSettings, chosen
from qvl.engines import probe
from qvl.engines.client import EngineClient, MisshapenAnswer, connect
from qvl.engines.tokens import PromptLogprobs, TokensPrompt
from qvl.errors import EndpointError, UserError
from qvl.pack.render import Renderer
from qvl.record import prompt
from qvl.sampling.tokens import kept_tokens
from qvl.stage import Drop

Record = dict[str, Any]


class Teachers:
    """The teachers of a run, one per task; used as a context."""

    def __init__(self, settings: TeacherSettings, renderer: Renderer) -> None:
        """renderer: of the student."""
        self.settings, self.renderer = settings, renderer
        self.tokenizer = tokenizer.digest(renderer.model)
        self._stack = contextlib.ExitStack()
        self._by_task: dict[str | None, Teacher] = {}

    def __enter__(self) -> "Teachers":
        """UserError for a teacher that does not read as the student does."""
        with contextlib.ExitStack() as stack:
            for task, urls in self.settings.by_task.items():
                teacher = Teacher(urls, self.settings, self.renderer)
                self._by_task[task] = stack.enter_context(teacher)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def names(self) -> dict[str, str]:
        """The model's name of each task's teacher."""
        return {task or "": teacher.engine.model for task, teacher in self._by_task.items()}

    def of(self, record: Record) -> "Teacher":
        """The teacher of a record's task."""
        return self._by_task[chosen(record.get("task"), list(self._by_task))]

    def score(self, record: Record) -> "Scored | Drop":
        """The record with `teacher` on each of its responses, which have token ids; a Drop where it has
        no prompt. UserError where a sequence is longer than the teacher's context."""
        teacher = self.of(record)
        rendered = self.renderer.prompt(record)
        if isinstance(rendered, Drop):
            return rendered
        images, videos = chat.media_uris(
            prompt(record), self.renderer.media_root, allow_remote=self.renderer.allow_remote
        )
        responses = [each for each in record["responses"] if each["token_ids"]]
        futures = []
        for each in responses:
            whole = [*each["prompt_token_ids"], *each["token_ids"]]
            teacher.check_length(record, len(whole))
            asked = TokensPrompt([*rendered.ids, *each["token_ids"]], images, videos)
            count = len(each["token_ids"])
            futures.append(teacher.engine.prompt_logprobs(asked, self.settings.top_k, count))
        return Scored(record, teacher, futures, self.tokenizer)


class Teacher:
    """One teacher at one or several addresses."""

    def __init__(self, urls: Sequence[str], settings: TeacherSettings, renderer: Renderer) -> None:
        self.name, self.renderer, self.top_k = urls[0], renderer, settings.top_k
        contexts = [probe.probe(url)["max_model_len"] for url in urls]
        self.context = min((each for each in contexts if each), default=None)
        self.engine: EngineClient = connect(
            urls[0],
            renderer.model,
            concurrency=settings.teacher_concurrency,
            others=urls[1:],
            retries=RETRIES,
        )

    def __enter__(self) -> "Teacher":
        self.engine.__enter__()
        try:
            self._check()
        except BaseException:
            self.engine.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *error: Any) -> None:
        self.engine.__exit__(*error)

    def check_length(self, record: Record, tokens: int) -> None:
        """UserError where a sequence does not fit: the teacher also samples one token, to be thrown away."""
        if self.context is not None and tokens + 1 > self.context:
            raise UserError(
                f"record {record.get('id')!r}: {tokens:,} tokens, and the teacher at {self.name} takes "
                f"{self.context - 1:,}; start it with a larger --max-model-len, or drop longer records"
            )

    def explain(self, refused: Refused) -> UserError:
        """The error of a request that the teacher refused."""
        text = str(refused)
        if "logprobs" in text.lower():
            return UserError(
                f"{self.name}: it refuses {self.top_k} log-probs per place ({text}); start it with "
                f"--max-logprobs {self.top_k}, as qvl serve does, or ask for fewer with --top-k"
            )
        return UserError(f"{self.name}: it refuses to score: {text}")

    def _check(self) -> None:
        answer = self.engine.client.complete(
            tokenizer.TALK, max_tokens=1, temperature=0, return_token_ids=True, logprobs=True
        )
        ids = kept_tokens(answer, answer["choices"][0], token_ids=True)["prompt_token_ids"]
        tokenizer.check_ids(self.renderer, ids, self.name)
        try:
            found = self.engine.prompt_logprobs(TokensPrompt(ids), self.top_k, last=1).result()
        except Refused as refused:
            raise self.explain(refused) from None
        except MisshapenAnswer:
            raise self.without() from None
        self.check_count(found.top_ids, "a plain talk")

    def without(self) -> EndpointError:
        return EndpointError(
            f"{self.name}: it returns no log-probs of a prompt; qvl serve, vLLM and SGLang do"
        )

    def check_count(self, places: Sequence[Sequence[Any]], what: str) -> None:
        """UserError where a place has fewer log-probs than were requested."""
        if not self.top_k:
            return
        least = min(map(len, places), default=0)
        if least < self.top_k:
            raise UserError(
                f"{self.name}: {least} log-probs per place for {what}, {self.top_k} were requested; start "
                f"it with --max-logprobs {self.top_k}, as qvl serve does, or ask for fewer with --top-k"
            )


@dataclass
class Scored:
    """The record to come, with what its teacher says of each response (qvl.pending.Pending)."""

    record: Record
    teacher: Teacher
    futures: "Sequence[Future[PromptLogprobs]]"
    tokenizer: str
    rounding: Sequence[Rounding] = ()
    """Of each response, once there is a result."""

    def done(self) -> bool:
        return all(future.done() for future in self.futures)

    def result(self) -> Record:
        """UserError where log-probs are missing; EndpointError where the teacher read another prompt."""
        waiting = iter(self.futures)
        responses, self.rounding = [], []
        for each in self.record["responses"]:
            if each["token_ids"]:
                each = {**each, "teacher": self._fields(each, next(waiting))}
            responses.append(each)
        return {**self.record, "responses": responses}

    def _fields(self, response: Record, future: "Future[PromptLogprobs]") -> dict[str, Any]:
        name = f"record {self.record.get('id')!r}"
        try:
            found = future.result()
        except Refused as refused:
            raise self.teacher.explain(refused) from None
        except MisshapenAnswer:
            raise self.teacher.without() from None
        if found.prompt_ids != [*response["prompt_token_ids"], *response["token_ids"]]:
            raise EndpointError(
                f"{name}: its prompt_token_ids are not what --model makes of its messages; "
                "were they sampled with another template, or has an image changed?"
            )
        if any(each is None for each in found.logprobs):
            raise self.teacher.without()
        self.teacher.check_count(found.top_ids, name)
        exact = codes.of_arrays(found.top_ids, found.top_logprobs, found.logprobs)
        fields = codes.encode(exact)
        self.rounding = [*self.rounding, codes.rounding(exact, fields)]
        return {"name": self.teacher.engine.model, "tokenizer": self.tokenizer, **fields}

"""Which teachers score, and what a student learns from them; plain values, for every process."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qvl.errors import UserError

TOP_K = 64  # as in the examples of verl and ms-swift; the report publishes none
MOST_TOP_K = 1024  # per place
RETRIES = 12  # of a request: a teacher may restart for 3 to 6 minutes. Our choice
OVER = ("full", "top-k", "sampled")
LEARN_AS = ("loss", "advantage")
BETAS = {"forward": 0.0, "reverse": 1.0}  # names of the ends
USELESS = {  # (over, as) -> why it teaches nothing
    (
        "sampled",
        "loss",
    ): "the gradient of log Q - log P at a sampled token does not depend on the teacher, "
    "and its mean is 0; say --as advantage",
    ("full", "advantage"): "a divergence of the whole distribution is the same whichever token was "
    "sampled, so as an advantage its expected gradient is 0; say --as loss",
    (
        "top-k",
        "advantage",
    ): "a divergence over the top-k is the same whichever token was sampled, so as an "
    "advantage its expected gradient is 0; say --as loss, or --over sampled --as advantage",
}


@dataclass(frozen=True, kw_only=True)
class TeacherSettings:
    """The teachers, and what is asked of endpoints: for qvl.distill.teacher."""

    teachers: tuple[str, ...] = ()
    """[TASK=]URL; several of a task share its requests. Without TASK: of every other task."""
    top_k: int = TOP_K
    """Log-probs per place; 0: of the sampled token alone."""
    teacher_concurrency: int = 64
    """Requests in flight per teacher. Our choice."""

    @property
    def by_task(self) -> dict[str | None, list[str]]:
        """The places of each task's teacher; None is every other task."""
        found: dict[str | None, list[str]] = {}
        for each in self.teachers:
            task, place = split(each)
            found.setdefault(task, []).append(place)
        return found


@dataclass(frozen=True, kw_only=True)
class DistillationSettings(TeacherSettings):
    """What a student learns from its teachers: for qvl.train.distillation, too."""

    over: str = "top-k"
    """full: the whole vocabulary, of a local teacher; top-k; or the sampled token alone."""
    learn_as: str = "loss"
    """loss: the divergence itself; advantage: the sampled token's log-ratio, by policy gradient."""
    beta: float = 1.0
    """0 is the forward KL, 1 the reverse KL, as TRL's DistillationTrainer has it; the report does not
    publish the direction."""
    tail: bool = True
    """The tokens outside the top-k count as one more."""
    replay: tuple[str, ...] = ()
    """SFT records that are learned beside, so that what the student can do is not lost."""
    think_tags: bool = False
    """Put their reasoning_content into the text: qvl.pack.render.Renderer."""
    replay_share: float = 0.2
    """Of the sequences and of the loss. The report is silent on it: our choice, see
    docs/distillation.md."""

    def check(self) -> None:
        """UserError for what teaches nothing, or cannot be done."""
        if self.over not in OVER:
            raise UserError(f"--over {self.over}: expected one of {', '.join(OVER)}")
        if self.learn_as not in LEARN_AS:
            raise UserError(f"--as {self.learn_as}: expected one of {', '.join(LEARN_AS)}")
        useless = USELESS.get((self.over, self.learn_as))
        if useless:
            raise UserError(
                f"--over {self.over} --as {self.learn_as}: it teaches nothing: {useless}"
            )
        if not 0 <= self.beta <= 1:
            raise UserError(f"--beta {self.beta:g}: expected a number from 0 to 1")
        if self.over == "top-k" and not self.tail and self.beta > 0:
            raise UserError(
                f"--no-tail --beta {self.beta:g}: over a truncated top-k it falls to its least where the "
                "student leaves the K tokens, whatever the teacher says; keep the tail, or say --beta 0"
            )
        if self.over == "top-k" and not self.top_k:
            raise UserError(
                "--top-k 0: expected at least 1 with --over top-k; or say --over sampled"
            )
        if not 0 <= self.replay_share < 1:
            raise UserError(f"--replay-share {self.replay_share:g}: expected a share below 1")
        for each in self.replay:
            if not Path(each).is_file():
                raise UserError(f"--replay {each}: no such file")
        for task, places in self.by_task.items():
            self._check_places(f"{task}=" if task else "", places)

    def _check_places(self, task: str, places: Sequence[str]) -> None:
        addresses = [is_address(place) for place in places]
        wanted = (
            "a folder, as the hidden states of a teacher are needed" if self.over == "full" else ""
        )
        if self.over == "full" and any(addresses):
            raise UserError(f"--teacher {task}{places[0]}: --over full needs {wanted}")
        if self.over == "full" and len(places) > 1:
            raise UserError(f"--teacher {task}{places[1]}: a second folder for the same task")
        if self.over != "full" and not all(addresses):
            raise UserError(
                f"--teacher {task}{places[0]}: --over {self.over} needs an endpoint; qvl serve "
                f"{places[0]} is one"
            )

    @property
    def folders(self) -> dict[str | None, str]:
        """The folder of each task's local teacher."""
        return (
            {task: places[0] for task, places in self.by_task.items()}
            if self.over == "full"
            else {}
        )


def split(teacher: str) -> tuple[str | None, str]:
    """[TASK=]PLACE -> the task, None where there is none, and an address or a folder."""
    task, equals, place = teacher.partition("=")
    if not equals or "/" in task or ":" in task:  # an address may have = in its query
        return None, teacher
    if not task or not place:
        raise UserError(f"--teacher {teacher}: expected [TASK=]URL, such as math=http://host:8000")
    return task, place


def is_address(place: str) -> bool:
    """Whether a teacher is an endpoint, and not a folder."""
    return place.startswith(("http://", "https://"))


def chosen(task: str | None, tasks: Sequence[str | None]) -> str | None:
    """The key of a record's teacher among those of `by_task`; UserError where there is none."""
    if task in tasks:
        return task
    if None in tasks:
        return None
    raise UserError(
        f"no teacher for the task {task!r}: there are ones for {', '.join(map(str, tasks))}; "
        "--teacher URL without a task is that of all others"
    )

"""Which queries reinforcement learning can learn from (Qwen3-VL report 4.4.1).

A query is dropped if no verifier can judge it; if it is multimodal and a strong model fails in all of 16
samples; if the model to be trained passes too often; or if its source has little to teach. The figures
are the report's; the reward from which a graded answer is right is our choice.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from qvl.curate.selection.difficulty import Difficulty
from qvl.curate.selection.format_prompts import FIELD, FormatPrompts
from qvl.errors import UserError
from qvl.io import jsonl
from qvl.record import check, modality, with_scores
from qvl.reward import REWARDS, RIGHT, verdict
from qvl.stage import Drop, Run, each

STAGE = "rl-prepare"
ALL_WRONG = ("multimodal", "any", "keep")

Measured = dict[str, float]  # by Difficulty.measure: judged, passed, pass_rate and so on


def sampled(reader: jsonl.Reader, pass_reward: float) -> dict[str, Measured]:
    """Id -> how a model did, of a stream of verified responses. UserError for a record that is
    unsound, or whose id was there before."""
    rules = Difficulty(pass_reward=pass_reward)
    found: dict[str, Measured] = {}
    for record in reader:
        problem = check(record)
        if problem is None and record["id"] in found:
            problem = f"id {record['id']!r} was there before"
        if problem is not None:
            raise UserError(f"{reader.place}: {problem}; 'qvl check' finds all such records")
        found[record["id"]] = rules.measure(record)
    return found


@dataclass(frozen=True, kw_only=True)
class QueryChoice:
    """Called on a record it returns the record for reinforcement learning, or a Drop.

    The record's own responses are those of a strong model, sampled to see what can be solved.
    """

    prompts: FormatPrompts | None = None
    """Appended; None appends none."""

    policy: Mapping[str, Measured] | None = None
    """Id -> pass rate of the model to be trained; None: it was not sampled yet."""

    all_wrong: str = "multimodal"
    """Which queries are dropped if no response of the record passes (report 4.4.1)."""

    max_pass_rate: float = 0.9
    """Of the model to be trained (report 4.4.1): of 16 samples 14 stay and 15 go."""

    pass_reward: float = RIGHT
    """Minimum reward of a response that passes: that of a box of IoU 0.5 (our choice)."""

    min_responses: int = 1
    """Minimum number of responses with a reward, to measure a query by."""

    drop_sources: Collection[str] = ()
    """Sources with little to teach; see qvl.curate.selection.potential."""

    verifier: str | None = None
    """For all records, in place of the verifier of each task."""

    general: bool = False
    """Keep tasks that no verifier judges: in general RL a judge does (report 4.4.2)."""

    keep_responses: bool = False

    def __post_init__(self) -> None:
        if self.all_wrong not in ALL_WRONG:
            raise UserError(f"--all-wrong {self.all_wrong}: expected {', '.join(ALL_WRONG)}")

    def __call__(self, record: dict) -> dict | Drop:
        if record.get("source") in self.drop_sources:
            return Drop("low-potential", f"source {record['source']}")
        name = self._verifier(record)
        if name is not None:
            empty = verdict.judge(record, {"content": ""}, name)
            if empty.reward is None:
                return Drop("unverifiable", empty.detail)
        elif not self.general:
            task = record.get("task")
            return Drop("no-verifier", f"task {task!r}" if task else "no task, which names it")
        measured: dict[str, Measured] = {}
        if record.get("responses"):
            measured["strong"] = Difficulty(pass_reward=self.pass_reward).measure(record)
        if self.policy is not None:
            if record["id"] not in self.policy:
                return Drop("not-sampled", "the model to be trained has no responses to it")
            measured["policy"] = self.policy[record["id"]]
        return self._unfit(record, measured) or self._prepared(record, measured)

    def _verifier(self, record: dict) -> str | None:
        """What judges a record, as in qvl verify; None where nothing does."""
        name = self.verifier or record.get("task") or ""
        return name if name in REWARDS or ":" in name else None

    def _unfit(self, record: dict, measured: dict[str, Measured]) -> Drop | None:
        """A Drop if it is too hard for the strong model, or too easy for the one to be trained."""
        for model, of in measured.items():
            passed = f"{of['passed']:g} of {of['judged']:g} pass"
            if of["judged"] < self.min_responses:
                if self.general and self._verifier(record) is None:
                    continue  # a judge gives rewards, and perhaps only in training
                detail = (
                    f"{model}: {of['judged']:g} of {self.min_responses} responses with a reward"
                )
                return Drop("not-judged", detail)
            concerned = self.all_wrong in ("any", modality(record))
            if model == "strong" and concerned and not of["passed"]:
                return Drop("all-wrong", passed)
            if model == "policy" and of["pass_rate"] > self.max_pass_rate:
                return Drop("too-easy", passed)
        return None

    def _prepared(self, record: dict, measured: dict[str, Measured]) -> dict:
        done = self.prompts(record) if self.prompts else dict(record)
        if measured:  # an earlier run may have measured the strong model alone
            done = with_scores(done, STAGE, measured, update=True)
        if self.keep_responses:
            return done
        return {name: value for name, value in done.items() if name != "responses"}


def prepared(run: Run, choice: QueryChoice) -> Iterator[dict]:
    """The records for reinforcement learning; the run notes how many got a format prompt."""
    counts: Counter[str] = Counter()

    def work(record: dict) -> dict | Drop:
        done = choice(record)
        if isinstance(done, dict) and choice.prompts:
            new = FIELD in done and FIELD not in record
            answered = bool(record.get("responses")) or choice.policy is not None
            counts["prompts_appended"] += new
            counts["without_prompt"] += FIELD not in done
            counts["sampled_before_the_prompt"] += new and answered
        return done

    yield from each(run, work)
    run.note(**{name: number for name, number in counts.items() if number})

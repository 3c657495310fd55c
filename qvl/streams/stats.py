"""Counts and sizes of a stream, in one pass and in bounded memory."""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from qvl.record import sizes, turns
from qvl.streams.mix import label
from qvl.streams.sketch import BATCH, Sketch

MAX_VALUES = 10_000  # of a field that are counted separately; later ones are counted together
OTHERS = "(others)"
MISSING = "(none)"
MAX_SKETCHES = 100
MEDIA, TURNS = "media()", "len(messages)"  # which are known from counting, whoever asks for them
HISTOGRAMS = (  # sizes that are drawn
    *("tokens per record", "image tokens per record", "video tokens per record", "tokens per pack"),
    *("tokens per response", "reward per response"),
)


class Stats:
    """Counts the records that are added; `facts` returns the counts."""

    def __init__(
        self,
        groups: dict[str, Callable[[dict], Any]],
        *,
        right: float = 0.5,
        tokens: Callable[[dict], tuple[int, int, int] | None] | None = None,
    ) -> None:
        """groups: name -> the value by which records are counted. right: the reward from which a
        response is right. tokens: of a record, all, of images and of videos; None where unknown."""
        self.records = 0
        self.right, self.tokens = right, tokens
        self.rejects: Counter[str] = Counter()
        self.outcomes: dict[str, Outcome] = defaultdict(Outcome)
        self.groups = groups
        self.values: dict[str, Counter[str]] = {name: Counter() for name in groups}
        self.having: Counter[str] = Counter()
        self.sketches: dict[str, Sketch] = {}
        self._waiting: dict[str, list[str]] = {
            name: [] for name in groups
        }  # values, not counted yet
        self._known: dict[str, Callable[[str], None]] = {}
        self._keys = []
        for name, key in groups.items():
            if name in (MEDIA, TURNS):
                self._known[name] = self._waiting[name].append
            else:
                self._keys.append((key, self._waiting[name].append))
        self._pending = 0  # records and turns, since `_fold`
        self._size = self._sketch("bytes of JSON").append
        self._turns = self._sketch("turns per record").append
        self._images = self._sketch("images per record").append
        self._videos = self._sketch("videos per record").append
        self._characters: dict[Any, Callable[[float], None]] = {}  # by role

    def add(self, record: dict, size: int) -> None:
        """`size`: bytes of the record's line."""
        self.records += 1
        self._size(size)
        for field in ("answer", "tools", "scores"):
            if field in record and record[field] not in (None, [], {}):
                self.having[field] += 1
        num_turns, media = self._add_turns(record)
        for name, append in self._known.items():
            append(media if name == MEDIA else str(num_turns))
        for key, append in self._keys:
            value = key(record)
            append(value if type(value) is str else MISSING if value is None else label(value))
        if "responses" in record:
            self._add_responses(record)
        if "reject" in record:
            self._add_reject(record["reject"])
        if self.tokens is not None or "input_ids" in record:
            self._add_tokens(record)
        if self._pending >= BATCH:
            self._fold()

    def facts(self) -> dict[str, Any]:
        """All counts and sizes, as --json prints them."""
        self._fold()
        sketches = {name: sketch.facts() for name, sketch in sorted(self.sketches.items())}
        found: dict[str, Any] = {
            "records": self.records,
            "having": dict(self.having),
            "by": {name: dict(values.most_common()) for name, values in self.values.items()},
            "sizes": {name: facts for name, facts in sketches.items() if facts["count"]},
            "histograms": {
                name: self.sketches[name].histogram()
                for name in HISTOGRAMS
                if name in self.sketches and self.sketches[name].count
            },
        }
        if self.outcomes:
            ordered = sorted(self.outcomes.items(), key=lambda each: -each[1].records)
            found["rewards"] = {task: outcome.facts() for task, outcome in ordered}
        if self.rejects:
            found["rejects"] = dict(self.rejects.most_common())
        return found

    def _add_turns(self, record: dict) -> tuple[int, str]:
        """Count the turns and the media; return the number of turns, and the record's media_kind."""
        messages = turns(record)
        self._turns(len(messages))
        self._pending += 1 + len(messages)
        reasoned, images, videos = False, 0, 0
        for message in messages:
            content = message.get("content")
            if type(content) is str:
                characters = len(content)
            else:
                characters, more_images, more_videos = sizes(message)
                images += more_images
                videos += more_videos
            role = message.get("role")
            try:
                self._characters[role](characters)
            except (KeyError, TypeError):  # a role not seen before, or one that is no string
                self._add_characters(role, characters)
            if "reasoning_content" in message:
                reasoning = message["reasoning_content"]
                if isinstance(reasoning, str) and reasoning:
                    reasoned = True
                    self._add("characters, reasoning", len(reasoning))
        self.having["reasoning"] += reasoned
        if images:
            self.having["images"] += 1
            self._images(images)
        if videos:
            self.having["videos"] += 1
            self._videos(videos)
            return len(messages), "image+video" if images else "video"
        return len(messages), "image" if images else "text"

    def _add_characters(self, role: Any, count: int) -> None:
        sketch = self._sketch(f"characters, {role}")
        sketch.append(count)
        if isinstance(role, str) and len(self._characters) < MAX_SKETCHES:
            self._characters[role] = sketch.append

    def _add_responses(self, record: dict) -> None:
        responses = record.get("responses")
        if not isinstance(responses, list) or not responses:
            return
        self.having["responses"] += 1
        self._add("responses per record", len(responses))
        rewards = []
        for response in responses:
            if not isinstance(response, dict):
                continue
            reward, tokens = response.get("reward"), response.get("num_tokens")
            if isinstance(reward, int | float) and not isinstance(reward, bool):
                rewards.append(reward)
                if reward >= 0:
                    self._add("reward per response", reward)
            if type(tokens) is int and tokens >= 0:
                self._add("tokens per response", tokens)
        if rewards:
            task = record.get("task")
            name = task if isinstance(task, str) else MISSING
            known = name in self.outcomes or len(self.outcomes) < MAX_SKETCHES
            self.outcomes[name if known else OTHERS].add(rewards, len(responses), self.right)

    def _add_reject(self, reject: Any) -> None:
        if not isinstance(reject, dict):
            return
        reason = f"{reject.get('stage', MISSING)}: {reject.get('reason', MISSING)}"
        known = reason in self.rejects or len(self.rejects) < MAX_VALUES
        self.rejects[reason if known else OTHERS] += 1

    def _add_tokens(self, record: dict) -> None:
        lengths = record.get("lengths")
        if isinstance(record.get("input_ids"), list):
            self._add("tokens per pack", len(record["input_ids"]))
            for length in lengths if isinstance(lengths, list) else ():
                if type(length) is int and length >= 0:
                    self._add("tokens per record", length)
            return
        found = self.tokens(record) if self.tokens else None
        if found is None:
            self.having["no tokens"] += 1
            return
        total, image, video = found
        self._add("tokens per record", total)
        if image:
            self._add("image tokens per record", image)
        if video:
            self._add("video tokens per record", video)

    def _add(self, name: str, value: float) -> None:
        self._sketch(name).add(value)

    def _sketch(self, name: str) -> Sketch:
        # Roles come from the data: a stream of odd ones must not take up memory without end.
        if name not in self.sketches and len(self.sketches) >= MAX_SKETCHES:
            return Sketch()
        return self.sketches.setdefault(name, Sketch())

    def _fold(self) -> None:
        self._pending = 0
        for name, waiting in self._waiting.items():
            values = self.values[name]
            for value, count in Counter(waiting).items():
                known = value in values or len(values) < MAX_VALUES
                values[value if known else OTHERS] += count
            waiting.clear()
        for sketch in self.sketches.values():
            sketch.fold()


class Outcome:
    """How the responses of a task came out."""

    def __init__(self) -> None:
        self.records = self.responses = self.judged = self.right = 0
        self.all_right = self.none_right = 0
        self.total = 0.0

    def add(self, rewards: list[float], responses: int, least: float) -> None:
        """rewards: of the responses of a record that were judged. least: from which one is right."""
        right = sum(reward >= least for reward in rewards)
        self.records += 1
        self.responses += responses
        self.judged += len(rewards)
        self.right += right
        self.total += sum(rewards)
        self.all_right += right == len(rewards)
        self.none_right += not right

    def facts(self) -> dict[str, float]:
        """pass_rate: the share of judged responses that are right. all_right, none_right: records."""
        return {
            "records": self.records,
            "responses": self.responses,
            "judged": self.judged,
            "mean_reward": round(self.total / self.judged, 4),
            "pass_rate": round(self.right / self.judged, 4),
            "all_right": self.all_right,
            "none_right": self.none_right,
        }

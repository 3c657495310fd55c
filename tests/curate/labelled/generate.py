"""Labelled answers: sound texts, and defects planted in them by a seed.

    python tests/curate/labelled/generate.py PART > PART.generated.jsonl

PART is development or heldout; texts_PART.jsonl are sound answers written by hand, inserts_PART.json
what is planted. A planted answer may deserve more than one reason: "also" names the others.
"""

import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])")
UNSPACED = ("zh", "ja")


def load(name: str) -> list[dict]:
    return [json.loads(line) for line in (HERE / name).read_text().splitlines()]


class Planter:
    def __init__(self, part: str, seed: int) -> None:
        self.texts = load(f"texts_{part}.jsonl")
        self.inserts = json.loads((HERE / f"inserts_{part}.json").read_text())
        self.draw = random.Random(seed)

    def cases(self) -> Iterator[dict]:
        for text in self.texts:
            yield self.case(text, "keep", text["content"])
            yield self.case(text, "keep", text["content"], reasoning=self.thought(text))
            for _ in range(2):
                yield self.loop(text)
            yield self.cut(text)
            yield self.cut(text, said=True)
            yield self.token(text)
            yield self.mixed(text)
            yield self.swapped(text)
        for counter in self.inserts["counters"]:
            yield from (self.near_loop(counter) for _ in range(3))
        yield from self.shifts()
        yield from self.guesses()
        for _ in range(24):
            yield self.concluded(True)
            yield self.concluded(False)
        for _ in range(12):
            yield from self.structured()

    def case(self, text: dict, want: str, content: str, **fields: object) -> dict:
        known = {name: text[name] for name in ("language", "images", "task") if name in text}
        return {"want": want, "asked": text["asked"], "content": content, **known, **fields}

    def join(self, text: dict, sentences: list[str]) -> str:
        return ("" if text["language"] in UNSPACED else " ").join(sentences)

    def sentences(self, text: dict) -> list[str]:
        return [one for one in SENTENCE.split(text["content"]) if one]

    def thought(self, text: dict) -> str:
        sentences = self.sentences(text)
        return self.join(text, sentences[1:] + sentences[:1])

    def loop(self, text: dict) -> dict:
        """A sentence, a few words, a paragraph or one character, over and over; mostly at the end."""
        sentences = self.sentences(text)
        kind = self.draw.choice(["sentence", "words", "paragraph", "character"])
        times = self.draw.randint(8, 40)
        gap = "" if text["language"] in UNSPACED else " "
        place = self.draw.randint(1, len(sentences))
        unit = sentences[place - 1]
        if kind == "words":
            unit = unit[: max(8, len(unit) // 4)].strip()
            unit = unit if gap == "" else unit.rpartition(" ")[0] or unit
        elif kind == "paragraph":
            unit = "\n" + self.join(text, sentences[: self.draw.randint(2, 3)])
            times = self.draw.randint(4, 9)
        elif kind == "character":
            unit, times, gap = self.draw.choice(["!", "。", "a", "7 ", "-"]), 400, ""
        looped = gap.join([unit] * times)
        head, tail = self.join(text, sentences[:place]), self.join(text, sentences[place:])
        content = head + gap + looped + (gap + tail if self.draw.random() < 0.2 else "")
        return self.case(text, "repetition", content, also=["truncated"])

    def near_loop(self, counter: str) -> dict:
        lines = [
            counter.format(n=n, m=self.draw.randint(2, 99))
            for n in range(self.draw.randint(14, 40))
        ]
        joiner = "" if counter[0] in "第{" else " "
        return {"want": "repetition", "asked": "?", "content": joiner.join(lines), "language": "-"}

    def cut(self, text: dict, *, said: bool = False) -> dict:
        """Ends within a sentence that is not the first; `said`: the engine tells so."""
        sentences = self.sentences(text)
        place = self.draw.randint(1, len(sentences) - 1)
        last = sentences[place]
        if text["language"] in UNSPACED:
            last = last[: self.draw.randint(4, max(5, len(last) - 3))]
        else:
            words = last.split()
            last = " ".join(words[: self.draw.randint(2, len(words) - 2)]).rstrip(".")
        content = self.join(text, [*sentences[:place], last])
        return self.case(
            text, "truncated", content, **({"finish_reason": "length"} if said else {})
        )

    def token(self, text: dict) -> dict:
        token = self.draw.choice(self.inserts["tokens"])
        sentences = self.sentences(text)
        sentences[self.draw.randrange(len(sentences))] += token
        return self.case(text, "special-token", self.join(text, sentences))

    def mixed(self, text: dict) -> dict:
        """A sentence or two are of another language."""
        other = self.draw.choice([one for one in self.texts if one["language"] != text["language"]])
        sentences = self.sentences(text)
        place = self.draw.randrange(1, len(sentences))
        foreign = self.sentences(other)[: self.draw.randint(1, 2)]
        return self.case(
            text,
            "language-mixing",
            self.join(text, [*sentences[:place], *foreign, *sentences[place:]]),
        )

    def swapped(self, text: dict) -> dict:
        """The answer to another question of the same language."""
        others = [
            one
            for one in self.texts
            if one["language"] == text["language"] and one["asked"] != text["asked"]
        ]
        if text.get("images") or not others:
            return self.case(text, "keep", self.join(text, self.sentences(text)[:3]))
        return self.case(text, "off-topic", self.draw.choice(others)["content"])

    def shifts(self) -> Iterator[dict]:
        for text in self.texts:
            for line in self.inserts["slang"].get(text["language"], []):
                yield self.case(text, "style-shift", text["content"] + "\n" + line)
            for line in self.inserts["shouts"]:
                if text["language"] == ("en" if line.isascii() else "ru"):
                    sentences = self.sentences(text)
                    yield self.case(
                        text, "style-shift", " ".join([*sentences[:2], line + ".", *sentences[2:]])
                    )
            if text["language"] not in UNSPACED and len(text["content"]) > 250:
                yield self.case(text, "style-shift", text["content"] + self.inserts["emoji"])

    def guesses(self) -> Iterator[dict]:
        for language, lines in self.inserts["guesses"].items():
            for text in [one for one in self.texts if one["language"] == language][:2]:
                for line in lines:
                    yield self.case(text, "guess", "B", reasoning=line)

    def concluded(self, agree: bool) -> dict:
        """A sum, its thought, and an answer that follows from it or not."""
        one, other = self.draw.randint(11, 89), self.draw.randint(11, 89)
        asked, thought, answer = self.draw.choice(self.inserts["sums"])
        total = one + other
        said = total if agree else total + self.draw.choice([-10, -1, 1, 10])
        facts = {
            "a": one, "b": other, "s": total, "x": said,
            "t": one // 10 * 10 + other // 10 * 10, "o": one % 10 + other % 10,
        }  # fmt: skip
        return {
            "want": "keep" if agree else "inconsistent",
            "asked": asked.format(**facts),
            "content": answer.format(**facts),
            "reasoning": thought.format(**facts),
            "language": "-",
        }

    def structured(self) -> Iterator[dict]:
        """Boxes and calls, sound and broken."""
        boxes = []
        for number in range(self.draw.randint(1, 9)):
            x, y = self.draw.randint(0, 800), self.draw.randint(0, 800)
            box = [x, y, x + self.draw.randint(5, 200), y + self.draw.randint(5, 200)]
            boxes.append(
                {"bbox_2d": box, "label": f"{self.draw.choice(['car', 'cup', '猫'])} {number}"}
            )
        asked = {
            "asked": "Locate every object and answer in JSON.",
            "images": 1,
            "task": "grounding",
        }
        asked |= {"language": "-"}
        fenced = f"```json\n{json.dumps(boxes, ensure_ascii=False, indent=1)}\n```"
        yield {"want": "keep", "content": fenced, **asked}
        broken = self.draw.choice(["range", "order", "cut", "comma"])
        if broken == "range":
            boxes[-1]["bbox_2d"][2] = self.draw.randint(1001, 3000)
        elif broken == "order":
            boxes[-1]["bbox_2d"][0], boxes[-1]["bbox_2d"][2] = (
                boxes[-1]["bbox_2d"][2],
                boxes[-1]["bbox_2d"][0],
            )
        body = json.dumps(boxes, ensure_ascii=False)
        if broken == "cut":
            body = body[: -self.draw.randint(2, 20)]
        elif broken == "comma":
            body = body.replace(", ", " ", 1)
        yield {"want": "bad-json", "content": body, "also": ["truncated"], **asked}
        call = {"name": "image_zoom_in_tool", "arguments": boxes[0]}
        line = json.dumps(call, ensure_ascii=False)
        zoom = {"asked": "Read the small sign at the back.", "images": 1, "language": "-"}
        yield {"want": "keep", "content": f"<tool_call>\n{line}\n</tool_call>", **zoom}
        wrong = self.draw.choice(
            [
                f"<tool_call>\n{line[:-1]}\n</tool_call>",
                f"<tool_call>\n{line.replace('name', 'tool', 1)}\n</tool_call>",
                f"{line}\n</tool_call>",
                f"<tool_call>image_zoom_in_tool({boxes[0]['bbox_2d']})</tool_call>",
            ]
        )
        yield {"want": "tool-format", "content": wrong, **zoom}
        total = self.draw.randint(2, 99)
        math = {"asked": f"What is {total} + 1?", "language": "-"}
        yield {"want": "keep", "content": f"<think>{total} and 1</think>\n\n{total + 1}", **math}
        bad = self.draw.choice(
            [
                f"<think>{total} and 1</think><think>so</think>{total + 1}",
                f"It is <think>{total} and 1</think>{total + 1}",
                f"<think>{total} and 1 make {total + 1}. I am sure.",
                f"<think><think>{total} and 1</think></think>{total + 1}",
            ]
        )
        yield {"want": "think-format", "content": bad, "also": ["truncated"], **math}


if __name__ == "__main__":
    part = sys.argv[1]
    for case in Planter(part, seed={"development": 1, "heldout": 2}[part]).cases():
        print(json.dumps(case, ensure_ascii=False))

"""Instruction following: does a response keep the constraints of its prompt?

The answer is IFEval's {"instruction_id_list": [...], "kwargs": [{...}, ...]} (arXiv 2311.07911), with
its 25 constraints, and 25 of IFBench's. The reward is 1 if all are kept, else 0 (prompt-level accuracy); with
--partial it is the share that is kept (instruction-level). The detail names the broken ones.

`instruction` is strict and judges the text as it is. `instruction-loose` accepts the best of eight variants:
with and without the first line, the last line or both, and each of these without asterisks, so that "Sure,
here it is:" and Markdown do not break a constraint. An empty variant keeps no constraint.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

from qvl.reward import Unverifiable, Verdict, reference
from qvl.reward.verifiers.instruction.constraints import CONSTRAINTS, IFBENCH, Check
from qvl.text.thinking import answer_text

_KNOWN = CONSTRAINTS | IFBENCH


def score(record: dict, response: dict) -> float:
    """1 if every constraint is kept, else 0."""
    return judge(record, response).reward or 0.0


def judge(
    record: dict, response: dict, *, partial: bool = False, loose: bool = False, **_: Any
) -> Verdict:
    """The verdict, whose detail names the broken constraints. Unverifiable if the answer names none."""
    checks = _checks(orjson.dumps(reference(record)))
    text = answer_text(response)
    variants = dict.fromkeys(_variants(text)) if loose else [text]
    texts = [each for each in variants if each.strip()]
    kept = {name: any(check(each) for each in texts) for name, check in checks}
    broken = [name.partition(" ")[2] for name, held in kept.items() if not held]
    share = (len(kept) - len(broken)) / len(kept)
    reward = share if partial else float(not broken)
    detail = f"not kept: {', '.join(broken)}" if broken else ""
    return Verdict("ok", reward, None, detail)  # the whole text was judged


def _variants(text: str) -> Iterator[str]:
    lines = text.split("\n")
    for part in (lines, lines[1:], lines[:-1], lines[1:-1]):
        joined = "\n".join(part).strip()
        yield joined
        yield joined.replace("*", "")


@lru_cache(maxsize=64)
def _checks(answer: bytes) -> list[tuple[str, Check]]:
    """The place and name of each constraint, and its check. Unverifiable if the answer is malformed."""
    parsed = orjson.loads(answer)
    names = parsed.get("instruction_id_list") if isinstance(parsed, dict) else None
    if not isinstance(names, list) or not names:
        raise Unverifiable("answer: expected {instruction_id_list: [...], kwargs: [...]}")
    given = parsed.get("kwargs")
    given = [None] * len(names) if given is None else given
    if not isinstance(given, list) or len(given) != len(names):
        raise Unverifiable(f"answer: kwargs: expected a list of {len(names)}, one per constraint")
    found = []
    for place, (name, each) in enumerate(zip(names, given, strict=True)):
        if not isinstance(name, str) or name not in _KNOWN:
            raise Unverifiable(f"answer: unknown constraint {name!r}; known: {', '.join(_KNOWN)}")
        arguments = {} if each is None else each  # null stands for no arguments
        if not isinstance(arguments, dict):
            raise Unverifiable(f"answer: kwargs[{place}]: expected an object")
        try:
            found.append((f"{place} {name}", _KNOWN[name](arguments)))
        except ValueError as error:
            raise Unverifiable(f"answer: {name}: {error}") from None
    return found

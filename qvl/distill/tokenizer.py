"""Whether a teacher reads what the student writes: the same token ids, from the same chat template."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.pack.render import Renderer
from qvl.pack.template import load_tokenizer
from qvl.stage import Drop

# Digits, code, accents, other scripts, and white space in runs: where tokenizers differ.
WORDS = "Add 1234.5 and 67, then f(x) = x**2;\n\tna\u00efve  words, \u4f60\u597d\uff0c\u4e16\u754c, \u043c\u0438\u0440 \u2192 \\frac{a}{b}"
TALK = [
    {"role": "system", "content": "Answer briefly."},
    {"role": "user", "content": "Hello!"},
    {"role": "assistant", "content": "Hello, what is it?"},
    {"role": "user", "content": WORDS},
]


def digest(folder: Path) -> str:
    """Names a tokenizer: its tokens, merges and added tokens, whatever the rest of the file says."""
    found = json.loads(load_tokenizer(folder).to_str())
    model = found["model"]
    facts = [sorted(model["vocab"].items()), model.get("merges")]
    facts.append(sorted((each["id"], each["content"]) for each in found["added_tokens"]))
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=8).hexdigest()


def check_stored(fields: dict[str, Any], own: str, where: str) -> None:
    """UserError where stored log-probs are of another tokenizer. fields: a response's `teacher`."""
    if fields.get("tokenizer") != own:
        raise UserError(
            f"{where}: its log-probs are of another tokenizer ({fields.get('tokenizer')}) than "
            f"that of --model ({own}); collect them from a teacher that shares it"
        )


def check_folder(renderer: Renderer, own: Path, folder: Path) -> None:
    """UserError where a teacher's folder has another tokenizer or chat template."""
    if digest(own) != digest(folder):
        raise UserError(
            f"{folder}: it has another tokenizer than {own}; its log-probs mean nothing"
        )
    theirs = Renderer(folder, media_root=renderer.media_root)
    check_ids(renderer, _prompt(theirs), str(folder))


def check_ids(renderer: Renderer, found: Sequence[int], name: str) -> None:
    """UserError where a teacher has made other token ids of TALK than the student does."""
    ours = _prompt(renderer)
    if list(found) == ours:
        return
    words = renderer.tokenizer.encode(WORDS, add_special_tokens=False).ids
    if _holds(found, words):
        raise UserError(
            f"{name}: its chat template renders another prompt than that of {renderer.model}: "
            f"{_difference(renderer, ours, found)}; the teacher would score what it never saw"
        )
    raise UserError(
        f"{name}: it has another tokenizer than {renderer.model}: its ids of a sentence are others"
    )


def _prompt(renderer: Renderer) -> list[int]:
    sample = renderer.prompt({"id": "probe", "messages": TALK})
    if isinstance(sample, Drop):
        raise UserError(
            f"{renderer.model}: its chat template refuses a plain talk: {sample.detail}"
        )
    return list(sample.ids)


def _holds(ids: Sequence[int], part: Sequence[int]) -> bool:
    """Whether the ids hold those of the middle of a part: its ends may merge with what is around."""
    inner = list(part[1:-1])
    spans = (list(ids[start : start + len(inner)]) for start in range(len(ids)))
    return any(span == inner for span in spans)


def _difference(renderer: Renderer, ours: Sequence[int], theirs: Sequence[int]) -> str:
    place = next(
        (i for i, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other),
        min(len(ours), len(theirs)),
    )
    texts = (
        renderer.tokenizer.decode(list(ids[place : place + 8]), skip_special_tokens=False)
        for ids in (ours, theirs)
    )
    mine, other = texts
    return f"{mine!r} against {other!r} at token {place}"

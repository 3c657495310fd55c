"""The prompts, a text file each: what judges are asked, and what is added to a question."""

from functools import cache
from pathlib import Path

from qvl.errors import UserError

FOLDER = Path(__file__).parent


@cache
def load(name: str) -> str:
    """The text of a prompt by its path in this folder, such as judge/query."""
    path = FOLDER / f"{name}.txt"
    if not path.is_file():
        known = sorted(str(each.relative_to(FOLDER))[:-4] for each in FOLDER.rglob("*.txt"))
        raise UserError(f"no prompt {name!r}; there are {', '.join(known)}")
    return path.read_text(encoding="utf-8")

"""The fields of Megatron's dataclasses and their types, from its source: its import takes seconds, and a
mistake in --set should not."""

import ast
import difflib
import importlib.util
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from qvl.errors import UserError

TRANSFORMER = ("core/transformer/transformer_config.py", "TransformerConfig")
OPTIMIZER = ("core/optimizer/optimizer_config.py", "OptimizerConfig")
TYPES = {"int": int, "float": (int, float), "bool": bool, "str": str}  # those that are checked


def check(fields: Mapping[str, Any], where: tuple[str, str], flag: str) -> None:
    """UserError for a field that the dataclass does not have, or a value of another type.

    Without Megatron's source nothing is checked here; qvl.megatron.overrides checks again.
    """
    spec = importlib.util.find_spec("megatron") if fields else None
    roots = [Path(each) for each in spec.submodule_search_locations or ()] if spec else []
    root = next((each for each in roots if (each / where[0]).is_file()), None)
    known = _annotations(root, *where) if root else None
    if known is None:
        return
    check_names(fields, known, where[1], flag)
    for name, value in fields.items():
        kind = known[name].removeprefix("Optional[").removesuffix("]").removesuffix(" | None")
        optional = kind != known[name]
        expected = TYPES.get(kind)
        if expected is None or (value is None and optional):
            continue
        if not isinstance(value, expected) or (kind != "bool" and isinstance(value, bool)):
            raise UserError(f"{flag} {name}={value}: expected a value of type {kind}")


def check_names(fields: Iterable[str], known: Collection[str], kind: str, flag: str) -> None:
    """UserError for a field that is not one of the `known` ones of the dataclass `kind`."""
    for name in fields:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"{flag} {name}: not a field of Megatron's {kind}{hint}")


def _annotations(root: Path, file: str, name: str) -> dict[str, str] | None:
    """Field -> its annotation, of a dataclass and those it inherits from; None if one is not found."""
    try:
        tree = ast.parse((root / file).read_text())
    except (OSError, SyntaxError, ValueError):
        return None
    classes = {each.name: each for each in tree.body if isinstance(each, ast.ClassDef)}
    if name not in classes:
        return None
    found: dict[str, str] = {}
    for base in classes[name].bases:
        inherited = _inherited(root, file, tree, ast.unparse(base))
        if inherited is None:
            return None
        found |= inherited
    for each in classes[name].body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            found[each.target.id] = ast.unparse(each.annotation)
    return found


def _inherited(root: Path, file: str, tree: ast.Module, base: str) -> dict[str, str] | None:
    """The fields of a base class, which stands in the same file or one that this file imports from."""
    for each in tree.body:
        if isinstance(each, ast.ImportFrom) and base in {alias.name for alias in each.names}:
            package = (root.name, *Path(file).parent.parts)
            above = package[: len(package) - each.level + 1] if each.level else ()
            path = "/".join((*above, *(each.module or "").split(".")))
            return _annotations(root, path.removeprefix(root.name + "/") + ".py", base)
    return _annotations(root, file, base)

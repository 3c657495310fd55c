"""Count the checks of a test script that succeed.

A call of `runner.CHECKED` is inserted into the source where a check has succeeded:

- after an assert, unless its condition is a constant;
- around a call of a method assertX, as in unittest, or of a name of that form which the script assigns;
- after an if, try, match, with or loop that guards a raise, fail() or `assert False`, and before a return,
  continue or break that jumps over one.

The condition of an assert whose failure the script catches, and then goes on, is passed to `runner.HELD`: a
script that prints "failed" has failed.
"""

import ast
from collections.abc import Iterator, Sequence

from qvl.reward.verifiers.programs.runner import CHECKED, HELD

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_JUMPS = (ast.Return, ast.Break, ast.Continue)


class CountedSource:
    """The source of a script with a call of CHECKED wherever a check has succeeded."""

    def __init__(self, tree: ast.Module, text: str) -> None:
        self._lines = text.encode().split(b"\n")
        self._edits: list[tuple[int, int, tuple[int, int], bytes]] = []  # line, byte, rank, text
        self._checks: set[int] = set()
        nodes = list(ast.walk(tree))
        functions = {node.name for node in nodes if isinstance(node, _FUNCTIONS)}
        bound = {node.id for node in nodes if isinstance(node, ast.Name) and _is_stored(node)}
        quoted = {  # Python before 3.12 misplaces what an f-string holds
            id(inner)
            for node in nodes
            if isinstance(node, ast.JoinedStr)
            for inner in ast.walk(node)
        }
        caught = {id(each) for node in nodes for each in _caught(node)}
        for node in nodes:
            if id(node) in caught and isinstance(node, ast.Assert):
                self._before(node.test, b"%s(" % HELD.encode())
                self._after(node.test, b")", (0, 0))
            if isinstance(node, ast.Assert) and not _is_constant(node.test):
                self._after(node, b"; %s()" % _CALL, (1, 0))
            elif isinstance(node, ast.Call) and id(node) not in quoted:
                attribute = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                name = node.func.id if isinstance(node.func, ast.Name) else ""
                if (attribute.startswith("assert") and attribute not in functions) or (
                    name.startswith("assert") and name in bound and name not in functions
                ):
                    self._before(node, b"%s(" % _CALL)
                    self._after(node, b")", (0, 0))
            for owner, block in _blocks(node):
                self._guard(owner, block)

    def is_check(self, node: ast.AST) -> bool:
        return id(node) in self._checks

    def text(self) -> str:
        lines = list(self._lines)
        for line, place, _, text in sorted(self._edits, reverse=True):
            lines[line - 1] = lines[line - 1][:place] + text + lines[line - 1][place:]
        return b"\n".join(lines).decode()

    def _guard(self, owner: ast.AST, block: list[ast.stmt]) -> None:
        """Count what passes the failures (raise and the like) that stand directly in a block."""
        failures = [place for place, node in enumerate(block) if _is_failure(node)]
        if not failures:
            return
        jumps = list(_jumps(block[: failures[-1]], in_loop=False))
        if isinstance(owner, ast.Try) and block is owner.body:
            jumps += _jumps([each for one in owner.handlers for each in one.body], in_loop=False)
        for jump in jumps:
            self._before(jump, b"%s(); " % _CALL)
        is_passed_by_jumps = isinstance(owner, _LOOPS) and block is owner.body and jumps
        if (
            isinstance(owner, ast.stmt)
            and not isinstance(owner, _DEFINITIONS)
            and not is_passed_by_jumps
        ):
            indent = self._lines[owner.lineno - 1][: owner.col_offset]
            self._after(owner, b"\n%s%s()" % (indent, _CALL), (2, -len(indent)))

    def _before(self, node: ast.stmt | ast.expr, text: bytes) -> None:
        self._checks.add(id(node))
        edit = (node.lineno, node.col_offset, (3, 0), text)
        if edit not in self._edits or isinstance(node, ast.expr):
            self._edits.append(edit)

    def _after(self, node: ast.stmt | ast.expr, text: bytes, rank: tuple[int, int]) -> None:
        self._checks.add(id(node))
        assert node.end_lineno is not None and node.end_col_offset is not None
        self._edits.append((node.end_lineno, node.end_col_offset, rank, text))


_CALL = CHECKED.encode()


def _caught(node: ast.AST) -> Iterator[ast.Assert]:
    """The asserts of a try whose failure a handler catches without a check of its own."""
    if not isinstance(node, ast.Try):
        return
    for handler in node.handlers:
        names = {
            each.id
            for each in ast.walk(handler.type or ast.Module([], []))
            if isinstance(each, ast.Name)
        }
        catches = handler.type is None or names & {"AssertionError", "Exception", "BaseException"}
        inside = [each for statement in handler.body for each in ast.walk(statement)]
        if catches and not any(
            isinstance(each, ast.Assert | ast.Raise | ast.Return)
            or (
                isinstance(each, ast.Attribute) and each.attr.startswith(("assert", "fail", "exit"))
            )
            for each in inside
        ):
            for statement in node.body:
                yield from (each for each in ast.walk(statement) if isinstance(each, ast.Assert))
            return


def _is_stored(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _is_constant(test: ast.expr) -> bool:
    """Whether a condition is the same for every answer; a tuple with items is always true."""
    return isinstance(test, ast.Constant) or (isinstance(test, ast.Tuple) and bool(test.elts))


def _is_failure(node: ast.stmt) -> bool:
    """Whether a statement fails the test: raise, fail(...) or assert False."""
    if isinstance(node, ast.Assert):
        return isinstance(node.test, ast.Constant) and not node.test.value
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return isinstance(node.value.func, ast.Attribute) and node.value.func.attr == "fail"
    return isinstance(node, ast.Raise)


def _blocks(node: ast.AST) -> Iterator[tuple[ast.AST, list[ast.stmt]]]:
    """The blocks of a statement, with it; those of its handlers and cases are its own."""
    if isinstance(node, ast.ExceptHandler | ast.match_case):
        return
    for part in [node, *getattr(node, "handlers", ()), *getattr(node, "cases", ())]:
        for name in ("body", "orelse", "finalbody"):
            block = getattr(part, name, None)
            if isinstance(block, list) and block:
                yield node, block


def _jumps(block: Sequence[ast.AST], *, in_loop: bool) -> Iterator[ast.stmt]:
    """The statements that leave a block; a break or continue may be of a loop inside it."""
    for node in block:
        if isinstance(node, ast.Return) or (isinstance(node, _JUMPS) and not in_loop):
            yield node
        elif not isinstance(node, (*_DEFINITIONS, ast.expr)):
            inner = in_loop or isinstance(node, _LOOPS)
            yield from _jumps(list(ast.iter_child_nodes(node)), in_loop=inner)

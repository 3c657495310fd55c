"""Prepare test scripts: find the tests that run in them, and count the checks that succeed.

A script that ran to its end proves nothing: its checks may be in functions that nobody called, or in a
loop over no items. `prepare` finds what is to be called (functions and classes of pytest, cases of
unittest, check(candidate)), and has the checks counted (checks.py).
"""

import ast
import builtins
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

from qvl.reward import Unverifiable
from qvl.reward.verifiers.programs.checks import CountedSource

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
_RUN_BY_TESTS = (
    "test",
    "setUp",
    "tearDown",
    "asyncSetUp",
    "asyncTearDown",
    "setup",
    "teardown",
    "__",
)
_NEEDS_PYTEST = (
    "setup_module",
    "setup_function",
    "teardown_module",
    "teardown_function",
    "setup_class",
)


@dataclass(frozen=True)
class Script:
    """A script as `runner` runs it."""

    source: str
    """The script, with its checks counted."""
    functions: list[str]
    """Test functions without arguments, to call."""
    classes: list[str]
    """Classes named Test..., as pytest collects them."""
    unittest: bool
    """Whether it has cases of unittest."""
    check: int
    """0: no check to call; 1: check(candidate); 2: check()."""
    wanted: list[str]
    """Names that it uses and nobody but the solution can define."""

    @property
    def request(self) -> dict:
        return asdict(self)


@lru_cache(maxsize=1 << 10)
def prepare(text: str, function: str, prefix: str) -> Script:
    """Return a script with its checks counted. Unverifiable if no answer could pass or fail it."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    before, tree = _parse(prefix, "prefix"), _parse(text, "a test")
    top = {node.name: node for node in tree.body if isinstance(node, _DEFINITIONS)}
    cases = _classes_of(tree, "TestCase")
    functions = [name for name, node in top.items() if _is_test(node)]
    classes = [
        name
        for name, node in top.items()
        if isinstance(node, ast.ClassDef)
        and name.startswith("Test")
        and name not in cases
        and not any(isinstance(each, _FUNCTIONS) and each.name == "__init__" for each in node.body)
    ]
    check = _check(top.get("check"), function, tree)
    roots = [*functions, *classes, *cases, *(["check"] if check else [])]
    reached = _reached(tree, roots, (*classes, *cases))
    for name in _missing_modules([*before.body, *reached]):
        raise Unverifiable(f"answer: tests: {name} cannot be imported in the sandbox")
    if any(name in top for name in _NEEDS_PYTEST):
        raise Unverifiable("answer: tests: the fixtures of a module need pytest")
    count = CountedSource(tree, text)
    if not any(count.is_check(node) for node in _within(reached)):
        raise Unverifiable(
            "answer: tests: a script makes no check (assert, raise or assertX) that runs"
        )
    wanted = _unbound([tree, before])
    return Script(count.text(), functions, classes, bool(cases), check, sorted(wanted))


def missing_modules(prefix: str) -> list[str]:
    """The modules that a prefix imports and the sandbox lacks; a prefix may be half a program."""
    try:
        return list(_missing_modules(ast.parse(prefix).body))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _parse(text: str, what: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unverifiable(f"answer: {what} is not Python: {error}") from None


def _is_test(node: ast.stmt) -> bool:
    """Whether pytest would call this function, and without a fixture."""
    if not isinstance(node, _FUNCTIONS) or not node.name.startswith("test"):
        return False
    return bool(node.decorator_list) or not _required(node)


def _required(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The number of arguments without a default value."""
    given = node.args
    without = [default for default in given.kw_defaults if default is None]
    return len(given.posonlyargs) + len(given.args) - len(given.defaults) + len(without)


def _check(node: ast.stmt | None, function: str, tree: ast.Module) -> int:
    """How to call check; see Script.check. Unverifiable if it needs a function that is not named."""
    if not isinstance(node, _FUNCTIONS):
        return 0
    if not _required(node) and not (function and (node.args.args or node.args.posonlyargs)):
        return 2
    if function:
        return 1
    called = (
        each.func.id
        for each in ast.walk(tree)
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)
    )
    if "check" not in called:
        raise Unverifiable("answer: function: missing; name the function to call")
    return 0


def _classes_of(tree: ast.Module, base: str) -> list[str]:
    """The classes whose base has a name that ends with `base`, and those that inherit from them."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            names = [ast.unparse(each) for each in node.bases]
            if any(name.endswith(base) or name in found for name in names):
                found.append(node.name)
    return found


def _within(nodes: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """The nodes and all inside them, but not what functions and classes inside them hold."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        inner = ast.iter_child_nodes(node)
        waiting += [each for each in inner if not isinstance(each, _DEFINITIONS)]


def _reached(tree: ast.Module, roots: list[str], tested: Sequence[str]) -> list[ast.stmt]:
    """The statements that run: of the module, and of the functions and classes that these name, and so on."""
    defined: dict[str, list[ast.stmt]] = {}
    for node in ast.walk(tree):
        if isinstance(node, _DEFINITIONS):
            defined.setdefault(node.name, []).append(node)
    found: list[ast.stmt] = []
    waiting = [tree, *(node for name in roots for node in defined.get(name, ()))]
    seen = {id(node) for node in waiting}
    while waiting:
        node = waiting.pop()
        body: list[ast.stmt] = node.body  # type: ignore[attr-defined]
        statements = [each for each in body if not isinstance(each, _DEFINITIONS)]
        found += statements
        called = [
            each
            for each in body
            if isinstance(node, ast.ClassDef)
            and isinstance(each, _FUNCTIONS)
            and each.name.startswith(_RUN_BY_TESTS if node.name in tested else "__")
        ]
        named = [*statements, *getattr(node, "decorator_list", ()), *getattr(node, "bases", ())]
        for each in _within(named):
            name = each.id if isinstance(each, ast.Name) else getattr(each, "attr", "")
            called += defined.get(name, ())
        new = [each for each in called if id(each) not in seen]
        seen.update(map(id, new))
        waiting += new
    return found


def _missing_modules(statements: Sequence[ast.AST]) -> Iterator[str]:
    """The modules that statements import and the sandbox lacks, unless a try is around the import."""
    for node in statements:
        if isinstance(node, ast.Try):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [each.name for each in node.names]
            for name in named if isinstance(node, ast.Import) else [node.module or "."]:
                first = name.split(".")[0]
                is_relative = isinstance(node, ast.ImportFrom) and node.level
                if is_relative or first not in (*sys.stdlib_module_names, "solution"):
                    yield first
        elif not isinstance(node, ast.expr):
            yield from _missing_modules(
                [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)]
            )


def _unbound(trees: Sequence[ast.Module]) -> set[str]:
    """Names that are read and defined nowhere, and those that are imported from the solution."""
    read, bound = set(), {"candidate", "__file__", *dir(builtins)}
    from_solution = set()
    for node in (each for tree in trees for each in ast.walk(tree)):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, _DEFINITIONS):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.ImportFrom) and node.module == "solution":
            from_solution.update(each.name for each in node.names if each.name != "*")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound.update((each.asname or each.name).split(".")[0] for each in node.names)
    return (read - bound) | from_solution

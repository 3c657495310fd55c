"""What runs within the sandbox beside a solution; the standard library only, no qvl.

The solution is never trusted with an answer. `calls` only hands it arguments and tells what came
back, to be compared outside. `scripts` keeps assertions in a process of their own, which calls the
solution's process through a pipe: a solution cannot read them, end them early, or answer with
an object that equals everything. What crosses is data: `encode` and `decode`.

Standard input is one JSON object, read after the solution's process has split off. Standard output
is a JSON object a line: {"loaded": true} once, then {"value": ...} or {"error": ...} for each test.
"""

import builtins
import json
import os
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, NoReturn

SOLUTION = "solution.py"  # beside this program
TESTS = "tests"  # the file name that a script's functions carry
MAX_DEPTH = 100  # of nested values, well within what a decoder of JSON can follow
MAX_ERROR = 300  # characters of an exception that are told


def encode(value: Any, depth: int = 0) -> Any:
    """Python data as JSON that keeps tuples, sets, bytes and keys; TypeError for anything else."""
    if depth > MAX_DEPTH:
        raise TypeError(f"nested deeper than {MAX_DEPTH}")
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return _scalar(kind, kind(value))
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, bytes | bytearray):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, dict):
        return {
            "dict": [[encode(k, depth + 1), encode(v, depth + 1)] for k, v in dict.items(value)]
        }
    names = {list: "list", tuple: "tuple", set: "set", frozenset: "frozenset", range: "range"}
    for kind, name in names.items():
        if isinstance(value, kind):
            items = (value.start, value.stop, value.step) if isinstance(value, range) else value
            return {name: [encode(item, depth + 1) for item in items]}
    raise TypeError(f"a {type(value).__name__} is not plain data")


def _scalar(kind: type, value: Any) -> Any:
    """Python refuses to print integers of more than 4300 digits; in hexadecimal it does not."""
    return {"int": hex(value)} if kind is int and abs(value) >= 1 << 63 else value


def decode(value: Any) -> Any:
    """The data that `encode` was given."""
    if not isinstance(value, dict):
        return value
    ((name, items),) = value.items()
    if name == "dict":
        return {decode(k): decode(v) for k, v in items}
    if name == "int":
        return int(items, 16)
    if name == "complex":
        return complex(*items)
    if name == "bytes":
        return bytes.fromhex(items)
    kinds = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
    if name == "range":
        return range(*items)
    return kinds[name](decode(item) for item in items)


class Pipe:
    """JSON objects, a line each, to another process and from it."""

    def __init__(self, reading: int, writing: int):
        self.reading = os.fdopen(reading, "r", encoding="utf-8")
        self.writing = os.fdopen(writing, "w", encoding="utf-8")

    def send(self, message: dict) -> None:
        self.writing.write(json.dumps(message) + "\n")
        self.writing.flush()

    def receive(self) -> dict | None:
        line = self.reading.readline()
        return json.loads(line) if line else None


class Solution(Pipe):
    """The process of the solution, as the one that asks it sees it."""

    def __init__(self, process: int, reading: int, writing: int):
        super().__init__(reading, writing)
        self.process = process

    def ask(self, function: str, arguments: Any, keywords: Any) -> dict:
        """What became of a call, all of it encoded."""
        try:
            self.send({"function": function, "arguments": arguments, "keywords": keywords})
        except BrokenPipeError:
            self._follow()
        return self.answer()

    def answer(self) -> dict:
        """What it says next; where it has ended, this ends as it did."""
        message = self.receive()
        return self._follow() if message is None else message

    def _follow(self) -> NoReturn:
        _, status = os.waitpid(self.process, 0)
        if os.WIFSIGNALED(status):
            os.kill(os.getpid(), os.WTERMSIG(status))
        os._exit(0)


def said(error: BaseException) -> str:
    """An exception in a line; its own text may be hostile, too."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"[:MAX_ERROR]
    except Exception:  # noqa: BLE001 - str() of an exception that the solution made
        return name


def load() -> dict[str, Any]:
    """The names that the solution defines."""
    names: dict[str, Any] = {"__name__": "solution", "__builtins__": builtins}
    path = os.path.join(os.path.dirname(sys.argv[0]), SOLUTION)  # noqa: PTH118, PTH120
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib takes 5 ms to import
        code = file.read()
    exec(compile(code, SOLUTION, "exec"), names)
    return names


def named(names: dict[str, Any], function: str) -> Callable[..., Any]:
    """A function of the solution, or a method of its class Solution."""
    if function not in names and "Solution" in names:
        return getattr(names["Solution"](), function)
    return names[function]


def away(*descriptors: int) -> None:
    """Let these lead nowhere."""
    nowhere = os.open("/dev/null", os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def serve(pipe: Pipe) -> None:
    """The solution's process: load it, then call what is asked for."""
    away(0, 1)
    try:
        names = load()
    except BaseException as error:  # noqa: BLE001 - SystemExit is an answer like another
        pipe.send({"error": said(error)})
        return
    functions = [name for name, value in names.items() if callable(value) and name[:2] != "__"]
    pipe.send({"functions": functions})
    while (asked := pipe.receive()) is not None:
        try:
            function = named(names, asked["function"])
            arguments, keywords = decode(asked["arguments"]), decode(asked["keywords"])
            pipe.send({"value": encode(function(*arguments, **keywords))})
        except BaseException as error:  # noqa: BLE001
            pipe.send({"error": said(error), "kind": type(error).__name__})


def calls(solution: Solution, asked: dict, tell: Callable[[dict], None]) -> None:
    """Call one function with each list of arguments; tell each result."""
    for arguments in asked["calls"]:
        tell(solution.ask(asked["function"], arguments, encode({})))


def scripts(
    solution: Solution, asked: dict, functions: list[str], tell: Callable[[dict], None]
) -> None:
    """Run each assertion script, with the solution's functions as names that call it."""

    def stub(function: str) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            answer = solution.ask(function, encode(arguments), encode(keywords))
            if "error" in answer:
                raise _exception(str(answer.get("kind")))(answer["error"])
            return decode(answer["value"])

        return call

    # A solution that defines abs() or all() must not judge itself with it.
    safe = [name for name in functions if not hasattr(builtins, name)]
    for script in asked["scripts"]:
        names: dict[str, Any] = {"__name__": "tests", "__builtins__": builtins}
        names |= {name: stub(name) for name in safe}
        try:
            exec(compile(asked["prefix"], "prefix", "exec"), names)
            if asked["function"]:
                names[asked["function"]] = names["candidate"] = stub(asked["function"])
            exec(compile(script, TESTS, "exec"), names)
            check = names.get("check")
            if isinstance(check, FunctionType) and check.__code__.co_filename == TESTS:
                check(names["candidate"])  # as HumanEval defines it
        except BaseException as error:  # noqa: BLE001 - also a script that exits has not passed
            tell({"error": said(error)})
        else:
            tell({"value": True})


def _exception(name: str) -> type[Exception]:
    """A built-in exception by its name, so that a script can expect it."""
    kind = getattr(builtins, name, None)
    return kind if isinstance(kind, type) and issubclass(kind, Exception) else RuntimeError


def main() -> None:
    here, there = os.pipe(), os.pipe()
    process = os.fork()
    if process == 0:
        os.close(here[0])
        os.close(there[1])
        serve(Pipe(there[0], here[1]))
        os._exit(0)
    os.close(here[1])
    os.close(there[0])
    solution = Solution(process, here[0], there[1])
    asked = json.loads(sys.stdin.buffer.read())
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    away(0, 1)

    def tell(result: dict) -> None:
        results.write(json.dumps(result) + "\n")
        results.flush()

    first = solution.answer()
    tell({"loaded": True})
    if "functions" not in first:
        tell({"fatal": first["error"]})
    elif "calls" in asked:
        calls(solution, asked, tell)
    else:
        scripts(solution, asked, first["functions"], tell)


if __name__ == "__main__":
    main()

"""The test runner: the program that runs in the sandbox beside a solution. It imports no qvl.

The solution never sees an expected result. `run_calls` passes arguments to it and reports the returned
values, which are compared outside the sandbox. `run_scripts` runs assertions in a process of their own, which
calls the solution's process through a pipe: a solution cannot read the assertions, end them early, or
return an object that equals everything. Only plain data crosses the pipe: `encode` and `decode`.

A script is prepared by qvl.reward.verifiers.programs.scripts: wherever a check succeeds it calls CHECKED.
It runs as __main__, then its test functions and classes run, its cases of unittest, and check(candidate).
Its names include those of the solution's functions, which are also in a module `solution`.

Standard input is one JSON object, read after the solution's process was forked. Standard output is one
JSON object per line: {"loaded": true} once, then for each test {"value": ...}; {"checks": the number that
succeeded, "calls": those of the solution, "missing": the names that it does not define}; or {"error": ...};
or {"fatal": ...} if the solution could not be loaded.
"""

import builtins
import json
import os
import sys
from collections.abc import Callable
from types import CoroutineType, ModuleType
from typing import Any, NoReturn

SOLUTION = "solution.py"  # beside this program
CHECKED = "__checked__"  # the function that counts the checks of a script
HELD = "__held__"  # the function that notes whether the condition of a caught assert holds
MAX_DEPTH = 100  # of nested values, well within what a decoder of JSON can follow
MAX_ERROR = 300  # characters of a reported exception


def encode(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON that preserves tuples, sets, bytes and keys. TypeError if it is not plain data."""
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
    """Return a scalar, a large integer in hexadecimal.

    Python refuses to print integers of more than 4300 decimal digits.
    """
    return {"int": hex(value)} if kind is int and abs(value) >= 1 << 63 else value


def decode(value: Any) -> Any:
    """Return the value that `encode` was given."""
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
    """Sends JSON objects to another process and receives them from it, one per line."""

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
    """The test runner's side of the pipe to the solution's process."""

    def __init__(self, process: int, reading: int, writing: int):
        super().__init__(reading, writing)
        self.process = process
        self.calls = 0

    def call(self, function: str, arguments: Any, keywords: Any) -> dict:
        """Call a function of the solution; return {"value": ...} or {"error": ...}, encoded.

        "awaited": whether the function is a coroutine, which the solution's process has run.
        """
        self.calls += 1
        try:
            self.send({"function": function, "arguments": arguments, "keywords": keywords})
        except BrokenPipeError:
            self._follow()
        return self.reply()

    def reply(self) -> dict:
        """Return the next message; if the solution's process has ended, end this one in the same way."""
        message = self.receive()
        return self._follow() if message is None else message

    def _follow(self) -> NoReturn:
        """End this process as the solution's process ended: by the same signal, or with status 0."""
        _, status = os.waitpid(self.process, 0)
        if os.WIFSIGNALED(status):
            os.kill(os.getpid(), os.WTERMSIG(status))
        os._exit(0)


def describe(error: BaseException) -> str:
    """Return an exception as text, at most MAX_ERROR characters; its str() may be hostile."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"[:MAX_ERROR]
    except Exception:  # noqa: BLE001 - str() of an exception that the solution made
        return name


def load() -> dict[str, Any]:
    """Run the solution and return the names that it defines."""
    names: dict[str, Any] = {"__name__": "solution", "__builtins__": builtins}
    path = os.path.join(os.path.dirname(sys.argv[0]), SOLUTION)  # noqa: PTH118, PTH120
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib takes 5 ms to import
        code = file.read()
    exec(compile(code, SOLUTION, "exec"), names)
    return names


def find_function(names: dict[str, Any], function: str) -> Callable[..., Any]:
    """Return a function of the solution, or the method of its class Solution. KeyError or AttributeError if
    there is none."""
    if function not in names and "Solution" in names:
        return getattr(names["Solution"](), function)
    return names[function]


def redirect_to_null(*descriptors: int) -> None:
    """Redirect file descriptors to /dev/null."""
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)


def serve(pipe: Pipe) -> None:
    """Run in the solution's process: load the solution, then answer calls until the pipe is closed."""
    redirect_to_null(0, 1)
    try:
        names = load()
    except BaseException as error:  # noqa: BLE001 - SystemExit is reported as any other error
        pipe.send({"error": describe(error)})
        return
    functions = [name for name, value in names.items() if callable(value) and name[:2] != "__"]
    pipe.send({"functions": functions})
    while (request := pipe.receive()) is not None:
        awaited = False
        try:
            function = find_function(names, request["function"])
            arguments, keywords = decode(request["arguments"]), decode(request["keywords"])
            value = function(*arguments, **keywords)
            if isinstance(value, CoroutineType):
                import asyncio

                awaited, value = True, asyncio.run(value)
            pipe.send({"value": encode(value), "awaited": awaited})
        except BaseException as error:  # noqa: BLE001
            kind = type(error).__name__
            pipe.send({"error": describe(error), "kind": kind, "awaited": awaited})


def run_calls(solution: Solution, request: dict, report: Callable[[dict], None]) -> None:
    """Call one function with each list of arguments; report each result."""
    for arguments in request["calls"]:
        report(solution.call(request["function"], arguments, encode({})))


class Script:
    """One run of a test script, in which the names of the solution's functions call its process."""

    def __init__(self, solution: Solution, functions: list[str]) -> None:
        self.solution, self.functions = solution, functions
        self.checks, self.waiting, self.caught = 0, 0, 0
        """Checks that succeeded; results of coroutines to be awaited; failures that the script caught."""

    def run(self, script: dict, function: str, prefix: str) -> dict:
        """Run the script; return the counts of its calls and checks. Raises what a failed check raises."""
        before = self.solution.calls
        sys.modules["__main__"] = ModuleType("__main__")
        names = sys.modules["__main__"].__dict__
        names |= {"__builtins__": builtins, "__file__": "tests.py"}
        names |= {CHECKED: self._checked, HELD: self._held}
        # A solution must not replace a built-in such as all() in the script that judges it.
        safe = [name for name in self.functions if not hasattr(builtins, name)]
        stubs = {name: self._stub(name) for name in [*safe, *([function] if function else [])]}
        sys.modules["solution"] = ModuleType("solution")
        sys.modules["solution"].__dict__.update(stubs)
        names |= {name: stubs[name] for name in safe}
        if script["unittest"]:
            import unittest

            unittest.main = lambda *_, **__: None  # type: ignore[misc, assignment] (its cases run below)
        exec(compile(prefix, "prefix", "exec"), names)
        if function:
            names[function] = names["candidate"] = stubs[function]
        try:
            exec(compile(script["source"], "tests", "exec"), names)
        except SystemExit as end:
            if end.code:
                raise
        for name in script["functions"]:
            self._finish(names[name]())
        for name in script["classes"]:
            self._run_class(names[name])
        if script["unittest"]:
            self._run_cases(names)
        if script["check"]:
            self._finish(names["check"](*([names["candidate"]] if script["check"] == 1 else [])))
        if self.caught:
            raise AssertionError("a check failed, and the script went on")
        if self.waiting:
            raise AssertionError("the result of a coroutine was not awaited")
        defined = [*self.functions, *([function] if "Solution" in self.functions else [])]
        missing = {*script["wanted"], *filter(None, [function])}.difference(defined)
        calls = self.solution.calls - before
        return {"checks": self.checks, "calls": calls, "missing": sorted(missing)}

    def _checked(self, value: Any = None) -> Any:
        """Count a check that succeeded."""
        self.checks += 1
        return value

    def _held(self, condition: Any) -> Any:
        """Note a condition that does not hold."""
        self.caught += not condition
        return condition

    def _stub(self, function: str) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            reply = self.solution.call(function, encode(arguments), encode(keywords))
            if reply.get("awaited"):
                self.waiting += 1
                return self._later(reply)
            return self._value(reply)

        return call

    async def _later(self, reply: dict) -> Any:
        self.waiting -= 1
        return self._value(reply)

    def _value(self, reply: dict) -> Any:
        """The value of a reply; raises its error as the built-in exception of the same name."""
        if "error" in reply:
            raise built_in_exception(str(reply.get("kind")))(reply["error"])
        return decode(reply["value"])

    def _finish(self, result: Any) -> None:
        """Run what a test function returned: a coroutine or a generator has not done anything yet."""
        if hasattr(result, "__await__") or hasattr(result, "__anext__"):
            import asyncio

            result = asyncio.run(self._awaited(result))
        elif hasattr(result, "__next__"):
            list(result)
        if result is False:
            raise AssertionError("the test returned False")

    async def _awaited(self, result: Any) -> Any:
        return await result if hasattr(result, "__await__") else [each async for each in result]

    def _run_class(self, tests: type) -> None:
        """Run the methods of a class as pytest does."""
        for name in [name for name in dir(tests) if name.startswith("test")]:
            test = tests()
            self._set(test, "setup_method")
            self._finish(getattr(test, name)())
            self._set(test, "teardown_method")

    def _set(self, test: Any, name: str) -> None:
        method = getattr(test, name, None)
        if method is not None:
            method(*[method] * (method.__func__.__code__.co_argcount - 1))

    def _run_cases(self, names: dict[str, Any]) -> None:
        """Run the script's classes of unittest. AssertionError for the first test that fails."""
        import unittest

        solution = self.solution

        class Result(unittest.TestResult):
            calls = 0

            def startTest(self, test: Any) -> None:
                self.calls = solution.calls
                super().startTest(test)

            def addSkip(self, test: Any, reason: str) -> None:
                if solution.calls > self.calls:  # then the solution can have chosen it
                    self.errors.append((test, f"skipped: {reason}"))
                super().addSkip(test, reason)

        load = unittest.TestLoader().loadTestsFromTestCase
        kinds = dict.fromkeys(each for each in names.values() if isinstance(each, type))
        own = [each for each in kinds if each.__module__ == "__main__"]
        cases = [each for each in own if issubclass(each, unittest.TestCase)]
        result = Result()
        result.failfast = True
        unittest.TestSuite(map(load, cases)).run(result)
        failed = [(test, text.strip()) for test, text in [*result.failures, *result.errors]]
        failed += [(test, "it should have failed") for test in result.unexpectedSuccesses]
        for test, text in failed:
            raise AssertionError(f"{test}: {text.splitlines()[-1]}")


def run_scripts(
    solution: Solution, request: dict, functions: list[str], report: Callable[[dict], None]
) -> None:
    """Run each test script; report its counts, or its error."""
    known = [name for name in functions if name.isidentifier() and name[:2] != "__"]
    for script in request["scripts"]:
        try:
            report(Script(solution, known).run(script, request["function"], request["prefix"]))
        except BaseException as error:  # noqa: BLE001 - a script that exits has not passed either
            report({"error": describe(error)})


def built_in_exception(name: str) -> type[Exception]:
    """The built-in exception of this name, so that a script can expect it; else RuntimeError.

    StopIteration would end the script's own loops as if all their checks had succeeded.
    """
    kind = getattr(builtins, name, None)
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        return RuntimeError
    stops = issubclass(kind, StopIteration | StopAsyncIteration)
    for base in () if stops else kind.__mro__:
        try:
            base("")
        except TypeError:  # UnicodeDecodeError has five arguments; its base has any
            continue
        return base
    return RuntimeError


def main() -> None:
    """Fork the solution's process, read the request, and run its calls or scripts."""
    replies, requests = os.pipe(), os.pipe()  # each (read end, write end)
    process = os.fork()
    if process == 0:
        os.close(replies[0])
        os.close(requests[1])
        serve(Pipe(requests[0], replies[1]))
        os._exit(0)
    os.close(replies[1])
    os.close(requests[0])
    solution = Solution(process, replies[0], requests[1])
    request = json.loads(sys.stdin.buffer.read())
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    redirect_to_null(0, 1)

    def report(result: dict) -> None:
        results.write(json.dumps(result) + "\n")
        results.flush()

    first = solution.reply()
    report({"loaded": True})
    if "functions" not in first:
        report({"fatal": first["error"]})
    elif "calls" in request:
        run_calls(solution, request, report)
    else:
        run_scripts(solution, request, first["functions"], report)


if __name__ == "__main__":
    main()

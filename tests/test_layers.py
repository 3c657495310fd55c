"""What may import what, what is imported at start, and what ships."""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = PYPROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"]
HEAVY = {*HEAVY, "pydantic"}

LAYERS = [  # imports point down: a room may import its own row's files and the rows below
    {"parity", "view"},
    {"plot"},
    {"jobs"},
    {"train", "evaluate"},
    {"megatron", "engines.doctor"},
    {"rollout"},
    {"agent", "agent.tools", "agent.synthesis"},
    {"distill"},
    {"engines.fleet"},
    {"engines.local", "engines.vllm", "engines.sglang"},
    {"engines"},
    {"engines.serving"},
    {"engines.inject", "engines.probe"},
    {"curate", "curate.scores", "curate.selection"},  # curate itself is an empty package
    {"curate.rules", "curate.duplicates", "sampling"},
    {"reward.self_test"},
    {"reward.verdict", "reward.verify", "reward.hybrid", "reward.judged"},
    {"reward.penalties", "reward.puzzles", "reward.verifiers"},
    {"reward.verifiers.instruction.constraints", "reward.verifiers.programs"},
    {"reward.algebra"},
    {"reward.reading"},
    {"reward"},  # the registry and what a verifier raises; verifiers are imported by name
    {"judge"},
    {"plan", "settings"},
    {"pack", "formats", "tiny", "streams", "client", "sandbox", "model"},
    {"text", "losses"},
    {"stage"},
    {"pending", "processes", "prompts"},
    {"media"},
    {"io"},
    {"record"},
    {"error_rate"},
    {"errors", "imports", "intervals", "recent", "threads"},
]
OWNERS = {"megatron": "qvl/megatron", "vllm": "qvl/engines/inject", "sglang": "qvl/engines/inject"}


def modules() -> list[Path]:
    return sorted((ROOT / "qvl").rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at any depth of its functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def room(module: str) -> str | None:
    """The room of a module or a name in it, by the longest entry of LAYERS that begins it."""
    package, *words = module.split(".")
    if package != "qvl":  # http.client is not qvl.client
        return None
    rooms = (".".join(words[:length]) for length in range(len(words), 0, -1))
    return next((name for name in rooms if any(name in row for row in LAYERS)), None)


def rank(name: str) -> int:
    return next(i for i, row in enumerate(LAYERS) if name in row)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_every_room_of_the_library_has_a_layer_and_every_layer_is_a_room():
    modules_ = {module_of(path) for path in modules()} - {"qvl"}
    assert {module for module in modules_ if room(module) is None} == set()
    named = {f"qvl.{name}" for row in LAYERS for name in row}
    assert named <= {
        ".".join(m.split(".")[:n]) for m in modules_ for n in range(2, len(m.split(".")) + 1)
    }


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    own = room(module_of(path))
    if own is None:  # qvl itself
        return
    for module in imports(path):
        other = room(module)
        if other:
            assert rank(other) >= rank(own), f"{own} imports {module}"


def test_no_files_import_each_other_in_a_circle():
    """Type-only imports and those inside functions count, too."""
    names = {module_of(path): path for path in modules()}
    graph = {name: (imports(path) & set(names)) - {name} for name, path in names.items()}
    for name, found in graph.items():  # `from package import module` names the package as well
        graph[name] = {m for m in found if not any(o.startswith(f"{m}.") for o in found)}
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, [*path, name])
            done.add(name)

    for name in graph:
        visit(name, [])


def test_no_folder_is_flat_and_long():
    counts = Counter(path.parent for path in modules())
    assert {str(folder): n for folder, n in counts.items() if n > 17} == {}


def test_the_library_never_imports_the_cli_and_never_prints_or_exits():
    for path in modules():
        assert not any(f"{m}.".startswith("qvl.cli.") for m in imports(path)), path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("print", "sys.exit", "exit"), path


def test_each_engine_has_one_importer():
    for path in [*modules(), *(ROOT / "cli").rglob("*.py")]:
        for module in imports(path):
            owner = OWNERS.get(module.split(".")[0])
            if owner:
                assert str(path.relative_to(ROOT)).startswith(owner), f"{path} imports {module}"


def test_no_command_imports_a_heavy_package_at_start():
    code = (
        "import sys, importlib, qvl.cli.main as m\n"
        "[importlib.import_module('.' + n, m.__package__) for n in m.COMMANDS.values()]\n"
        f"print(*sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_help_and_a_running_command_import_nothing_heavy(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"id":"a"}\n')
    for words in (["--help"], ["cat", "in.jsonl", "-o", "out.zst"], ["filter-queries", "--help"]):
        code = (
            "import sys, qvl.cli.main as m\n"
            f"sys.argv = ['qvl', *{words!r}]\n"
            "try:\n    m.main()\nexcept SystemExit:\n    pass\n"
            f"print('HEAVY', *sorted({HEAVY!r} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
        )
        assert done.stdout.splitlines()[-1].strip() == "HEAVY", words


def test_pyproject_lists_every_package():
    listed = PYPROJECT["tool"]["setuptools"]["packages"]
    found = {
        ".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "qvl").rglob("__init__.py")
    }
    found |= {
        "qvl." + ".".join(p.parent.relative_to(ROOT).parts)
        for p in (ROOT / "cli").rglob("__init__.py")
    }
    assert listed == sorted(found)


def test_every_package_and_module_says_what_it_is_for():
    for path in modules():
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_no_file_hides_a_second_subject():
    for path in [*modules(), *(ROOT / "cli").rglob("*.py")]:
        assert len(path.read_text().splitlines()) <= 400, path


def test_only_strings_hold_other_scripts():
    """A pattern is written in its script; names, comments and docstrings are ASCII."""
    for path in [*modules(), *(ROOT / "cli").rglob("*.py")]:
        source = path.read_text()
        if source.isascii():
            continue
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                assert (ast.get_docstring(node) or "").isascii(), path
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in (tokenize.COMMENT, tokenize.NAME):
                assert token.string.isascii(), f"{path}:{token.start[0]}"


NAMES = {"PIL": "pillow", "sklearn": "scikit-learn", "skimage": "scikit-image"}  # import -> package
INDIRECT = {"referencing", "safetensors"}  # of jsonschema and transformers


def test_what_is_imported_on_use_is_in_the_extra_that_its_error_names():
    """A line of extras was once lost in a merge, and a fresh machine could not make the twin."""
    project = PYPROJECT["project"]
    packages = {None: project["dependencies"], **project["optional-dependencies"]}
    listed = {
        extra: {re.split(r"[^A-Za-z0-9_-]", line)[0].replace("-", "_") for line in lines}
        for extra, lines in packages.items()
    }
    found = 0
    for path in (*modules(), *(ROOT / "cli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "need"):
                continue
            module, *rest = [*node.args, *(each.value for each in node.keywords)]
            if not all(isinstance(each, ast.Constant) for each in (module, *rest)):
                continue
            name = str(ast.literal_eval(module)).partition(".")[0]
            extra = ast.literal_eval(rest[0]) if rest else None
            package = str(NAMES.get(name) or name).replace("-", "_")
            assert name in INDIRECT or package in {
                each.replace("megatron_core", "megatron") for each in listed[extra]
            }, f"{path}: {name} is not in {extra or 'dependencies'}"
            found += 1
    assert found > 40

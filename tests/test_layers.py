"""What may import what, what is imported at start, and what ships."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = PYPROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"]
HEAVY = {*HEAVY, "pydantic"}

LAYERS = [  # imports point down: a package may import its own row and those below it
    {"parity"},
    {"jobs", "evaluate", "report"},
    {"agent", "megatron", "engines"},
    {"reward", "losses", "model", "curate", "formats", "pack", "tiny", "sandbox"},
    {"judge"},
    {"client", "prompts"},
    {"stage"},
    {"pending", "processes"},
    {"io"},
    {"record"},
    {"errors", "imports"},
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


def level(part: str) -> int | None:
    return next((i for i, row in enumerate(LAYERS) if part in row), None)


def rank(part: str) -> int:
    found = level(part)
    assert found is not None, f"{part} has no layer"
    return found


def part_of(module: str) -> str | None:
    words = module.split(".")
    return words[1] if words[0] == "qvl" and len(words) > 1 else None


def test_every_part_of_the_library_has_a_layer():
    parts = {p.name.removesuffix(".py") for p in (ROOT / "qvl").iterdir()} - {
        "__init__",
        "__pycache__",
    }
    assert {part for part in parts if level(part) is None} == set()


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    own = path.relative_to(ROOT / "qvl").parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for module in imports(path):
        part = part_of(module)
        if part and level(part) is not None:
            assert rank(part) >= rank(own), f"{own} imports {module}"


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
        assert len(path.read_text().splitlines()) <= 450, path


def test_the_sources_are_ascii():
    for path in [*modules(), *(ROOT / "cli").rglob("*.py")]:
        assert path.read_text().isascii(), path

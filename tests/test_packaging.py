"""The bare wheel: built, installed in a clean environment, and every data command run without torch."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from shells import ROOT, shell

DATA_COMMANDS = [
    "qvl cat records.jsonl.zst -o copy.jsonl.zst",
    "qvl check records.jsonl.zst",
    "qvl stats records.jsonl.zst",
    "qvl view --export page.html sampled.jsonl.zst",
    "qvl select 'task == \"math\"' records.jsonl.zst | zstdcat",
    "qvl shuffle --seed 1 records.jsonl.zst | zstdcat",
    "qvl dedup --near 0.8 --media-root . records.jsonl.zst | zstdcat",
    "qvl check --media records.jsonl.zst",
    "qvl verify sampled.jsonl.zst | zstdcat",
    "qvl convert --to openai records.jsonl.zst --plain | head -1",
    "qvl filter-queries records.jsonl.zst | qvl filter-responses | qvl score-responses | zstdcat",
    "qvl lineage copy.jsonl.zst",
    "cat copy.jsonl.zst | qvl recover | zstdcat",
    "qvl man cat",
    "qvl man rl prepare",
    "qvl man qvl",
    "qvl man records",
    "qvl man qvl-streams",
    "qvl man -o pages",
]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT]
    subprocess.run(command, check=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_library_the_commands_and_the_pages(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in ROOT.glob("qvl/**/*.py"):
        assert str(path.relative_to(ROOT)) in names
    for path in ROOT.glob("cli/**/*.py"):
        assert f"qvl/{path.relative_to(ROOT)}" in names
    for path in ROOT.glob("man/*.[157]"):
        assert any(name.endswith(f"share/man/man{path.suffix[1:]}/{path.name}") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("cli/", "tests/", "examples/")) for name in names)


def test_every_data_command_runs_in_a_clean_environment_without_torch(wheel, tmp_path):
    import shutil

    home = tmp_path / "a path with spaces"
    shutil.copytree(ROOT / "examples" / "data", home)
    subprocess.run([sys.executable, "-m", "venv", home / "env"], check=True)
    python = home / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True)
    run = shell(home)
    path = f"{home}/env/bin:/usr/bin:/bin"
    assert run("python -c 'import torch' 2>/dev/null || echo none", PATH=path).stdout == "none\n"
    for line in DATA_COMMANDS:
        done = run(line, PATH=path)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    done = run("qvl convert --to verl records.jsonl.zst -o rows.parquet", PATH=path)
    assert done.returncode == 2
    assert "pip install 'qvl[data]'" in done.stderr

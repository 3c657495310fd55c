"""The help, the man pages and the code cannot drift apart."""

import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from shells import shell

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def commands(cli):
    """Name -> the command as typer parses it."""
    found = {}
    for name in cli.COMMANDS:
        group: Any = typer.main.get_command(cli.app)
        found[name] = group.get_command(None, name)
    return found


@pytest.fixture(scope="session")
def pages(cli):
    """File name -> troff, of every command's page."""
    return import_module(".pages", cli.__package__).pages()


def test_man_pages_are_current(pages):
    written = {path.name: path.read_text() for path in (ROOT / "man").glob("*.1")}
    assert written == pages, "a help text has changed: run `make man`"


def test_man_pages_are_clean_troff():
    if not shutil.which("groff"):
        pytest.skip("groff is not installed")
    for path in sorted((ROOT / "man").glob("*.[157]")):
        done = subprocess.run(
            ["groff", "-man", "-ww", "-z", "-Kutf8", path], capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, ""), path


def test_the_man_page_says_what_help_says(commands, pages):
    for name, command in commands.items():
        page = pages[f"qvl-{name.replace(' ', '-')}.1"]
        context = typer.Context(command, info_name=f"qvl {name}")
        shown = words(command.get_help(context))
        plain = words(re.sub(r"\\\(aq", "'", page).replace("\\-", "-").replace("\\e", "\\"))
        for param in command.params:
            if param.help and not getattr(param, "hidden", False):
                assert words(param.help) in shown, f"{name}: {param.name}"
                assert words(param.help) in plain, f"{name}: {param.name}"
        for line in examples(command):
            assert words(line) in plain, f"{name}: {line}"


@pytest.mark.parametrize("columns", [60, 100, 160])
def test_help_wraps_at_the_width_of_the_terminal(commands, monkeypatch, columns):
    """Tables and examples keep their lines, and options are broken at no hyphen."""
    monkeypatch.setenv("COLUMNS", str(columns))
    widest = 0
    for name, command in commands.items():
        context = typer.Context(command, info_name=f"qvl {name}", max_content_width=1 << 16)
        lines = command.get_help(context).splitlines()
        kept = {line.strip() for line in (command.help or "").splitlines()}
        wrapped = [line for line in lines if line.strip() not in kept and not is_long_name(line)]
        assert max(map(len, wrapped)) <= columns, name
        widest = max(widest, *map(len, wrapped))
        assert not any(line.rstrip().endswith("-") for line in wrapped), name
        for line in examples(command):
            assert any(line in each for each in lines), f"{name}: {line}"
    assert widest > columns - 5


def is_long_name(line: str) -> bool:
    """An option whose name and value fill the line, or a usage line."""
    return line.lstrip().startswith(("-", "[", "Usage")) and "  " not in line.strip()


def words(text: str) -> str:
    return " ".join(text.split())


def examples(command) -> list[str]:
    return re.findall(r"^ *\$ (.+)$", command.help or "", re.M)


def test_every_command_has_an_example(commands):
    assert [name for name, command in commands.items() if not examples(command)] == []


def test_every_example_in_a_help_text_runs(commands, tmp_path):
    slow = SimpleNamespace(found=[])
    for name, command in commands.items():
        for number, line in enumerate(examples(command)):
            if line in NEEDS_A_MODEL:
                slow.found.append(line)
                continue
            folder = tmp_path / f"{name.replace(' ', '-')}-{number}"
            shutil.copytree(ROOT / "examples" / "data", folder)
            done = shell(folder)(line)
            assert done.returncode == 0, f"{name}: {line}\n{done.stderr}"
    assert sorted(slow.found) == sorted(NEEDS_A_MODEL)


NEEDS_A_MODEL = [  # run by tests/engines/test_examples.py and tests/{jobs,parity}
    "qvl pack --model twin --rejects long.jsonl.zst raw.jsonl.zst -o packed.jsonl.zst",
    "qvl cat raw.jsonl.zst | qvl pack --model twin --context 4k --loss-weight sqrt | zstdcat",
    "qvl sft --model twin -o tuned --nproc 2 --batch 2 --lr 1e-3 --save-every 2 packed.jsonl.zst",
    "torchrun --nproc-per-node 2 --no-python qvl sft --model twin -o out packed.jsonl.zst",
    "qvl sft --model twin -o staged --curriculum --batch 2 --steps 4 packed.jsonl.zst packed.jsonl.zst",
    "qvl sft --model twin -o halves --nproc 2 --layout tp=2 --batch 2 --steps 4 packed.jsonl.zst",
    "qvl parity twin test.jsonl.zst | zstdcat",
    "qvl parity twin --layout tp=2 test.jsonl.zst -o compared.jsonl.zst",
    "qvl serve twin --port 0 -- qvl parity twin --endpoint {endpoint} test.jsonl.zst -o same.jsonl.zst",
    "qvl import twin checkpoint --layout tp=2,pp=2",
    "qvl export checkpoint twin2",
    "qvl export tuned/checkpoints/step-0000002 early",
    "qvl serve twin --port 0 -- qvl eval --max-tokens 4 test.jsonl.zst -o scored.jsonl.zst",
    "qvl serve twin --port 0 -- qvl generate -n 2 --max-tokens 4 test.jsonl.zst | zstdcat",
    "qvl generate -n 8 --early-stop 0.5 --max-tokens 4 test.jsonl.zst | qvl filter-difficulty -o hard.jsonl.zst",
    "qvl generate --regex 'yes|no' test.jsonl.zst -o judged.jsonl.zst",
    "qvl generate -n 4 --preset instruct --max-tokens 8 test.jsonl.zst -o sampled.jsonl.zst",
    "qvl serve twin --port 0 -- qvl filter-vision --text-endpoint {endpoint} --max-tokens 4 "
    "test.jsonl.zst | zstdcat",
    "qvl serve twin --port 0 -- sh -c 'curl -s {endpoint}/v1/models'",
    "qvl serve twin --replicas 2 --port 0 -- qvl generate --max-tokens 4 test.jsonl.zst | zstdcat",
    "qvl serve twin --port 0 -- qvl rl sapo --model twin -o better -n 4 --batch 4 --max-tokens 16 --steps 1 --lr 1e-4 rl.jsonl.zst",
    "qvl serve twin --port 0 -- qvl rl sapo --model twin -o agent --tools image_zoom_in_tool --calls-weight 0.3 -n 4 --batch 4 --max-tokens 16 --steps 1 rl.jsonl.zst",
    "qvl rl sapo --model twin -o again --steps 1 --lr 1e-4 --rollouts better/rollouts/step-000001.jsonl.zst",
    "qvl serve twin --port 0 -- qvl agent-budget --judge {endpoint} -n 3 test.jsonl.zst -o budgeted.jsonl.zst",
    "qvl serve twin --port 0 -- qvl agent-rollout --model twin --tool image_zoom_in_tool "
    "--max-tokens 16 test.jsonl.zst -o seen.jsonl.zst",
    "qvl agent-rollout --model twin -n 4 --tool image_zoom_in_tool,code_interpreter --max-tokens 8 "
    "test.jsonl.zst -o four.jsonl.zst",
    "qvl serve twin --port 0 -- qvl distill collect --model twin --teacher {endpoint} --top-k 16 "
    "sft.jsonl.zst -o teacher.jsonl.zst",
    "qvl distill collect --model twin --teacher twin --layout tp=2 --top-k 16 sft.jsonl.zst | qvl check",
    "qvl serve twin --port 0 -- qvl distill on-policy --model twin --teacher big -o better --batch 4 --max-tokens 16 --steps 1 --lr 1e-4 rl.jsonl.zst",
    "qvl serve twin --port 0 -- qvl distill on-policy --model twin --teacher {endpoint} --top-k 16 -o taught --batch 4 --max-tokens 16 --steps 1 --replay sft.jsonl.zst rl.jsonl.zst",
    "qvl distill on-policy --model twin -o stored --top-k 16 --batch 4 --steps 1 --rollouts taught/rollouts/step-000001.jsonl.zst",
    "qvl serve twin --port 0 -- qvl eval --by task --max-tokens 4 test.jsonl.zst | zstdcat",
]


def test_every_option_has_help(commands):
    for name, command in commands.items():
        for param in command.params:
            assert param.help, f"{name} {param.name}"


def test_every_summary_is_one_imperative_sentence(commands):
    for name, command in commands.items():
        summary = (command.help or "").partition("\n\n")[0]
        assert summary.strip().endswith("."), name
        assert len(words(summary)) <= 100, f"{name}: {summary}"


def test_the_manual_names_every_command(cli):
    manual = (ROOT / "man" / "qvl.7").read_text()
    for name in cli.COMMANDS:
        assert f"qvl\\-{name.replace('-', chr(92) + '-').replace(' ', chr(92) + '-')}" in manual, (
            name
        )


def test_the_field_tables_name_every_field_of_a_record():
    from qvl.record import Message, Record, Response

    page = (ROOT / "man" / "qvl-records.5").read_text()
    for kind in (Record, Message, Response):
        for field in kind.__annotations__:
            assert re.search(rf"\b{field}\b", page), field


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_completion_is_offered_for(sh, shell_name):
    done = sh(f"_QVL_COMPLETE=source_{shell_name} qvl")
    assert "_QVL_COMPLETE" in done.stdout


def test_completion_completes_commands_and_flags(sh):
    ask = "_QVL_COMPLETE=complete_bash COMP_WORDS='{}' COMP_CWORD={} qvl"
    assert "cat" in sh(ask.format("qvl c", 1)).stdout.split()
    assert "--rejects" in sh(ask.format("qvl cat --re", 2)).stdout.split()


PROSE = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
PLACEHOLDERS = re.compile(r"my_|drop.unanswered|/CASE\b")  # what a recipe tells a reader to write


@pytest.mark.parametrize("page", PROSE, ids=lambda path: path.name)
def test_every_link_and_every_path_in_the_prose_exists(page):
    text = page.read_text()
    links = {link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link}
    assert [link for link in sorted(links) if not (page.parent / link).exists()] == []
    paths = set(re.findall(r"`((?:cli|qvl|tests|examples|man|docs)/[\w./-]+)`", text))
    paths |= {f"tests/bench/{name}" for name in re.findall(r"`(bench_\w+\.py)`", text)}
    found = {path for path in paths if (ROOT / path).exists() or PLACEHOLDERS.search(path)}
    assert sorted(paths - found) == []


@pytest.mark.parametrize("page", PROSE, ids=lambda path: path.name)
def test_every_name_of_the_library_in_the_prose_is_defined(page):
    """A dotted name is a module, or stands in one."""
    for dotted in set(re.findall(r"`(qvl(?:\.\w+)+)`", page.read_text())):
        module, _, name = dotted.rpartition(".")
        if source_of(dotted) is None:
            source = source_of(module)
            assert source, f"{page.name}: {dotted}"
            assert re.search(rf"\b{name}\b", source.read_text()), f"{page.name}: {dotted}"


def source_of(dotted: str) -> Path | None:
    """The file of a module or package; cli/ ships as qvl.cli."""
    path = ROOT / dotted.replace("qvl.cli", "cli").replace(".", "/")
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists()), None)

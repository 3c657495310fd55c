"""Options that commands share are defined once, and reach parser, help, pages and completion."""

import importlib
import inspect
import shutil
import subprocess
import sys
from dataclasses import fields
from typing import Annotated, Any, get_args

import pytest
import typer
from shells import ROOT

GROUPS = {
    "options": ["StreamOptions", "ResumableStreamOptions", "MediaOptions"],
    "endpoint_options": [
        "EndpointOptions",
        "SamplingOptions",
        "RequestOptions",
        "JudgeOptions",
        "RewardModelOptions",
    ],
}
WITHOUT_A_STREAM = {  # commands that read or write no stream of records
    *(
        "lineage",
        "sft",
        "rl sapo",
        "distill on-policy",
        "import",
        "export",
        "serve",
        "doctor",
        "tiny model",
        "tiny data",
        "tool-test",
        "man",
        "view",
        "plot",
        "eval summary",
    ),
}
LAST_FIELD = "    report: Annotated["
NEW_FIELD = """    trace: Annotated[str | None, typer.Option("--trace", metavar="FILE", help="A trace")] = None
"""
PRINT = """
import typer, qvl.cli.main as main
root = typer.main.get_command(main.app)
for name in main.COMMANDS:
    command = root.get_command(None, name)
    context = typer.Context(command)
    where = [any("--trace" in each.opts for each in command.params)]
    where += ["--trace FILE" in command.get_help(context)]
    print(name, all(where), any(where), sep="|")
"""


@pytest.fixture(scope="module")
def edited(tmp_path_factory):
    """A copy of the sources with one more field in StreamOptions; its commands, one line each."""
    folder = tmp_path_factory.mktemp("edited")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "qvl", folder / "qvl", ignore=ignored)
    shutil.copytree(ROOT / "cli", folder / "qvl" / "cli", ignore=ignored)
    path = folder / "qvl" / "cli" / "options.py"
    source = path.read_text()
    assert source.count(LAST_FIELD) == 1
    path.write_text(source.replace(LAST_FIELD, NEW_FIELD + LAST_FIELD))
    return folder


def test_an_option_of_all_streams_is_added_in_one_place(cli, edited):
    command = [sys.executable, "-c", PRINT]
    done = subprocess.run(command, cwd=edited, capture_output=True, text=True, check=True)
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == list(cli.COMMANDS)
    for name, everywhere, anywhere in rows:
        wanted = str(name not in WITHOUT_A_STREAM)
        assert (everywhere, anywhere) == (wanted, wanted), name


def test_a_new_option_is_completed_and_has_its_line_on_the_page(edited):
    code = "import sys, qvl.cli.main as m; m.main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=edited,
        capture_output=True,
        text=True,
        env={"_QVL_COMPLETE": "complete_bash", "COMP_WORDS": "qvl mix --tr", "COMP_CWORD": "2"},
    )
    assert done.stdout.split() == ["--trace"], done.stderr
    code = "from qvl.cli.pages import pages; print(pages()['qvl-mix.1'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=edited, capture_output=True, text=True)
    assert ".B \\-\\-trace FILE\nA trace" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("module", "group"), [(m, g) for m, names in GROUPS.items() for g in names]
)
def test_a_search_for_a_shared_flag_finds_its_definition(cli, module, group):
    """No flag is derived from the name of a field."""
    loaded = importlib.import_module("." + module, cli.__package__)
    source = inspect.getsource(loaded)
    for field in fields(getattr(loaded, group)):
        _, info = get_args(field.type)
        if not isinstance(info, typer.models.ArgumentInfo):
            flag = "--" + field.name.replace("_", "-")
            assert source.count(f'"{flag}"') == 1, flag


def test_a_field_that_a_command_leaves_out_is_no_flag_of_it(cli):
    root: Any = typer.main.get_command(cli.app)
    flags = {
        name: {flag for each in root.get_command(None, name).params for flag in each.opts}
        for name in ("shuffle", "cat", "generate")
    }
    assert "--shard" not in flags["shuffle"] and "--resume" not in flags["cat"]
    assert {"--shard", "--resume", "--endpoint", "--media-root"} <= flags["generate"]


def test_leaving_out_a_field_that_is_not_there_is_a_bug(cli):
    groups = importlib.import_module(".groups", cli.__package__)
    stream = importlib.import_module(".options", cli.__package__).StreamOptions

    def command(stream: Any) -> None: ...

    command.__annotations__["stream"] = Annotated[stream, groups.without("shards")]

    with pytest.raises(AssertionError, match="no field shards"):
        groups.flattened(command)

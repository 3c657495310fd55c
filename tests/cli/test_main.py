import os
import shutil
import signal
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

main = import_module("qvl.cli.main")
BIN = Path(sys.executable).parent

# Told to end after its command has ended, while the interpreter goes through what it does at the end.
IS_SIGNALLED_AT_ITS_END = """
import atexit, os, sys
from importlib.metadata import entry_points
atexit.register(os.kill, os.getpid(), int(sys.argv.pop(1)))
(script,) = entry_points(group="console_scripts", name="qvl")
script.load()()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_the_very_end_is_no_traceback(number):
    command = [sys.executable, "-c", IS_SIGNALLED_AT_ITS_END, str(int(number)), "--version"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == -number and not done.stderr


RUNS_AND_TELLS = """
import gc, sys
from qvl.cli.__main__ import main
try:
    main()
except SystemExit:
    print(gc.isenabled(), gc.get_freeze_count() > 10_000)
"""


def test_the_garbage_collector_is_on_again_once_a_command_is_imported():
    command = [sys.executable, "-c", RUNS_AND_TELLS, "cat", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True True"


def qvl(*words, **env):
    command = [sys.executable, "-m", "qvl.cli", *words]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "80", **env}
    )


def test_help_has_a_section_for_each_purpose_and_names_every_command():
    lines = qvl("-h").stdout.splitlines()
    titles = [line[:-1] for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Options", *main.SECTIONS]
    named = {line[2:21].strip() for line in lines if line.startswith("  ")}
    assert named >= main.COMMANDS.keys()
    assert not any('"""' in line for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("words", [("help", "cat"), ("cat", "-h"), ("cat", "--help")])
def test_the_help_of_a_command_is_found_in_every_spelling(words):
    assert qvl(*words).stdout.startswith("Usage: qvl cat [OPTIONS]")


def test_the_version_has_a_short_flag():
    assert qvl("-V").stdout == qvl("--version").stdout == f"qvl {version('qvl')}\n"


@pytest.mark.parametrize("words", [("-x",), ("cat", "-x"), ("rl", "-x")])
def test_an_unknown_option_is_one_line_anywhere(words):
    done = qvl(*words)
    assert done.returncode == 2 and not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("qvl: error: No such option: -x; see qvl ")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("qvl cat --on-error ", ["stop", "reject"]),
        ("qvl verify --verifier gr", ["grounding"]),
        ("qvl rl sapo --loss g", ["grpo", "gspo"]),
        ("qvl convert --to l", ["llama-factory", "llava"]),
        ("qvl convert --from a", ["auto"]),
        ("qvl eval com", ["compare"]),
        ("qvl eval ", []),  # the shell completes files
    ],
)
def test_a_shell_completes_values_and_second_words(line, expected):
    words = str(len(line.split(" ")) - 1)
    done = qvl(_QVL_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=words)
    assert done.stdout.split() == expected


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_installs_a_completion_of_its_own(tmp_path):
    """Installed by zsh, loaded by its completion system, and given a command's words as zsh has them."""
    script = """
    qvl --install-completion
    fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit -u -D
    words=(qvl convert --to l) CURRENT=4
    _arguments() { print -r -- "$*" }
    source ~/.zfunc/_qvl; _qvl_completion
    """
    done = subprocess.run(
        ["zsh", "-f", "-c", script],
        env={"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (tmp_path / ".zfunc" / "_qvl").read_text().startswith("#compdef qvl")
    assert '*: :(("llama-factory"' in done.stdout and '"llava"' in done.stdout, done

"""Tests go through the installed `qvl` and a shell, as users do."""

import importlib
import os
import shutil
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from shells import ROOT, Shell, shell

pytest_plugins = ["served", "ranks"]  # a tiny checkpoint and its server; processes of Megatron


def pytest_configure(config: pytest.Config) -> None:
    """Tests that are not for a GPU run on the CPU where there is one, too: they start more ranks than
    it has GPUs, and compare in fp32."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="Write tests/cases anew from what runs")


@pytest.fixture(scope="session")
def cli() -> Any:
    """The module of the table of commands, in the package of the installed `qvl`."""
    (script,) = entry_points(group="console_scripts", name="qvl")
    package = importlib.import_module(script.module).__package__
    return importlib.import_module(".main", package)


@pytest.fixture(scope="session")
def command_module(cli: Any) -> Callable[[str], ModuleType]:
    """The module of a command, by its name in the table."""

    def get(name: str) -> ModuleType:
        return importlib.import_module("." + cli.COMMANDS[name], cli.__package__)

    return get


@pytest.fixture
def sh(tmp_path: Path) -> Shell:
    """Run a shell line in a folder that holds examples/data; every member of a pipe must succeed."""
    shutil.copytree(ROOT / "examples" / "data", tmp_path, dirs_exist_ok=True)
    return shell(tmp_path)

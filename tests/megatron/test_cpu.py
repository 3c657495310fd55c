import subprocess
import sys

import pytest
import torch

from qvl.megatron import cpu

START = """
import sys
from qvl.megatron import parallel
from qvl.model.layout import parse_layout
parallel.start(parse_layout(""))
from qvl.megatron import training, weights
from megatron.core import jit
import torch
assert jit.jit_fuser is not torch.compile
assert torch.compile(lambda: 1, backend="eager")() == 1
print("torch._inductor.compile_fx" in sys.modules)
"""


@pytest.mark.skipif(not cpu.needed(), reason="with CUDA, Megatron compiles what it fuses")
def test_megatron_is_imported_without_the_compiler_which_works_afterwards():
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_a_function_to_compile_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(cpu, "needed", lambda: True)
    compiler = torch.compile
    with cpu.uncompiled():

        @torch.compile
        def one():
            return 1

        @torch.compile(dynamic=True)
        def two():
            return 2

    assert (one(), two()) == (1, 2)
    assert torch.compile is compiler


def test_with_cuda_the_compiler_stays(monkeypatch):
    monkeypatch.setattr(cpu, "needed", lambda: False)
    compiler = torch.compile
    with cpu.uncompiled():
        assert torch.compile is compiler

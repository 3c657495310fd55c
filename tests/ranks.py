"""Ranks for the tests of qvl.megatron: real processes over gloo, forked from one warm server."""

import multiprocessing
import os
import socket
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TIMEOUT_SECONDS = 300  # for ranks that hang; a slow machine that has other work takes over 100
# Forked ranks can have CUDA only if the server has not begun to use it: by NVML, torch answers
# whether there is a GPU without doing so. cuda_calls, the first import, notes what asks.
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
WARM = [
    "cuda_calls",
    "qvl.megatron.scoring",
    "qvl.train.loop",
    "qvl.train.build",
    "qvl.train.dataloader",
]
WARM += ["qvl.jobs.sft", "checkpoints"]

Ranks = Callable[..., list[Any]]


@pytest.fixture(scope="session")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    """ranks(n, function, *args): what `function(*args)` returned on each of n ranks, within `seconds`.

    `function` is one of a module's, its arguments and answer are plain or tensors. torch and
    Megatron are imported once, in the server that every rank is forked from.
    """
    import torch

    open_store = vars(torch.distributed)["TCPStore"]  # exported, but not to pyright
    context = multiprocessing.get_context("forkserver")
    os.environ["OMP_NUM_THREADS"] = "1"
    context.set_forkserver_preload(WARM)

    def run(
        count: int, function: Callable[..., Any], *args: Any, seconds: float = TIMEOUT_SECONDS
    ) -> list[Any]:
        folder = tmp_path_factory.mktemp("ranks")
        # The store is here and its port is the system's choice: a port that is looked up first and
        # opened by rank 0 seconds later may be another test's by then.
        store = open_store("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        processes = [
            context.Process(target=one_rank, args=(rank, count, store.port, folder, function, args))
            for rank in range(count)
        ]
        for process in processes:
            process.start()
        until = time.monotonic() + seconds
        for process in processes:
            process.join(max(0.0, until - time.monotonic()))
            if process.is_alive():
                process.kill()
        errors = [path.read_text() for path in sorted(folder.glob("*.error"))]
        assert not errors, "\n".join(errors)
        assert [process.exitcode for process in processes] == [0] * count
        return [torch.load(folder / f"{rank}.pt") for rank in range(count)]

    return run


def one_rank(
    rank: int, count: int, port: int, folder: Path, function: Callable[..., Any], args: tuple
) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(count),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        TORCHELASTIC_USE_AGENT_STORE="True",  # rank 0 opens none: as under torchrun
    )
    import cuda_calls
    import torch

    from qvl.megatron import parallel

    assert not cuda_calls.CALLS, (
        f"an import asks for a GPU before ranks are forked: {cuda_calls.CALLS}"
    )
    torch.set_num_threads(1)

    try:
        parallel.start(parallel.Layout())
        torch.save(function(*args), folder / f"{rank}.pt")
        parallel.finish()
    except Exception:
        (folder / f"{rank}.error").write_text(f"rank {rank}:\n{traceback.format_exc()}")
        raise


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of a random dense Qwen3-VL with tied embeddings."""
    from checkpoints import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("dense"), moe=False, tied=True)


@pytest.fixture(scope="session")
def moe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with experts, embeddings not tied."""
    from checkpoints import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("moe"), moe=True, tied=False)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints of four layers: dense and tied, dense with a head, experts."""
    from checkpoints import write_checkpoint

    made = {}
    for name in ("tied", "untied", "moe"):
        place = tmp_path_factory.mktemp(name)
        made[name] = write_checkpoint(place, moe=name == "moe", tied=name == "tied", layers=4)
    return made

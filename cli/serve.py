import shlex
import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from qvl.engines.fleet import serve as fleet
from qvl.engines.local import serve as local
from qvl.engines.serving import environments, process
from qvl.engines.serving.launch import DTYPES, LaunchOptions
from qvl.errors import UserError
from qvl.model.shape import existing
from qvl.threads import described


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a checkpoint")],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND]...", help="Serve until this command ends"),
    ] = None,
    backend: Annotated[
        str, typer.Option(metavar="|".join(("local", *environments.ENGINES)), help="Engine to run")
    ] = "local",
    engine_args: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'FLAGS'", help="Further flags for vLLM or SGLang, as in a shell; repeatable"
        ),
    ] = None,
    engine_env: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Environment of vLLM or SGLang, instead of that of qvl doctor"
        ),
    ] = None,
    num_replicas: Annotated[
        int,
        typer.Option(
            "--replicas", metavar="N", min=1, help="Number of engines, on equal shares of the GPUs"
        ),
    ] = 1,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", help="Port to listen on; 0 picks a free one")
    ] = 8000,
    served_model_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Model name in requests, by default the folder's"),
    ] = None,
    max_batch: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Maximum number of sequences per batch (our choice)"),
    ] = 64,
    max_model_len: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Maximum tokens of prompt and response; by default 8192 or the model's limit (our "
            "choice); keys and values for --max-batch times as many must fit in memory",
        ),
    ] = None,
    dtype: Annotated[
        str,
        typer.Option(
            metavar="|".join(DTYPES),
            help="Data type of the computation; auto is fp32 on a CPU, the checkpoint's on a GPU",
        ),
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Threads of the local engine on a CPU; by default 1 for a small model, else what is "
            "measured to be faster: 1 or one per core (OMP_NUM_THREADS at most)",
        ),
    ] = None,
    media_root: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Let requests name image and video files below this folder"
        ),
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the JSON line here when ready"),
    ] = None,
) -> None:
    """Serve a checkpoint behind an OpenAI-compatible endpoint.

    The local engine runs transformers in this process and batches requests as they arrive: text, images
    and videos. The last digits of logits depend on what is computed in the same batch, and so may a
    seeded response; --dtype float64, for the local engine only, makes it independent of other requests.
    vLLM and SGLang run in the environment that qvl doctor made, or that is on PATH, with the flags that
    the recipe needs; their log goes to standard error. All three sample videos alike: 2 frames per
    second, 4 to 768 of them, or all frames that are sent. SGLang uses a loader of qvl's for that, as its
    own takes other frames and resizes them twice.

    When the server is ready, one JSON line on standard output (and in --ready-file, which is removed at
    the end) holds the endpoint, the model's name, the version of its weights, the capabilities of the
    server, and the local engine's number of threads. Ctrl-C and SIGTERM stop it; status 4 means that the engine died. If QVL_API_KEY is set,
    requests must carry it; to listen beyond loopback, it must be set.

    With a COMMAND, the server runs until the COMMAND ends, and exits with its status. The COMMAND gets
    QVL_ENDPOINT in its environment, and {endpoint} in its words is replaced. No JSON line is printed.

    With --replicas, a request goes to the least busy of N engines. An engine that dies, or is silent for
    a minute (unless its weights are being updated or it sleeps), is restarted, and its requests go to
    another; a stream that had started ends early, and its client must retry. New weights, pauses and
    sleep sent to the endpoint apply to all engines; a restarted engine gets the present weights before
    any request.

    Examples:
        $ qvl serve twin --port 0 -- qvl eval --max-tokens 4 test.jsonl.zst -o scored.jsonl.zst
        $ qvl serve twin --port 0 -- sh -c 'curl -s {endpoint}/v1/models'
        $ qvl serve twin --replicas 2 --port 0 -- qvl generate --max-tokens 4 test.jsonl.zst | zstdcat
    """

    def ready(facts: dict) -> None:
        computing = f", {described(facts['threads'])}" if "threads" in facts else ""
        line = f"{facts['model']} at {facts['endpoint']}{computing}"
        print(f"qvl serve: {line}", file=sys.stderr, flush=True)
        if not command:
            print(orjson.dumps(facts).decode(), flush=True)

    existing(model)
    if backend not in ("local", *environments.ENGINES):
        raise UserError(
            f"--backend {backend}: expected one of {', '.join(('local', *environments.ENGINES))}"
        )
    if backend == "local" and (engine_args or engine_env):
        raise UserError("--engine-args and --engine-env need --backend vllm or sglang")
    if backend != "local" and threads:
        raise UserError("--threads needs --backend local")
    if dtype not in DTYPES:
        raise UserError(f"--dtype {dtype}: expected one of {', '.join(DTYPES)}")
    name = served_model_name or model.resolve().name
    if num_replicas > 1:
        given = {
            "--backend": backend,
            "--engine-env": engine_env,
            "--served-model-name": name,
            "--max-batch": max_batch,
            "--max-model-len": max_model_len,
            "--dtype": dtype,
            "--threads": threads,
            "--media-root": media_root,
        }
        words = [f"{flag}={value}" for flag, value in given.items() if value is not None]
        words += [f"--engine-args={flags}" for flags in engine_args or ()]
        status = fleet.serve(
            [sys.executable, sys.argv[0], "serve", str(model), *words],
            model,
            num_replicas,
            host=host,
            port=port,
            ready=ready,
            report=lambda line: print(f"qvl serve: {line}", file=sys.stderr, flush=True),
            served=command or (),
            ready_file=ready_file,
        )
        raise typer.Exit(status)
    if backend != "local":
        options = LaunchOptions(
            host=host,
            port=port,
            name=name,
            max_batch=max_batch,
            max_model_len=max_model_len,
            dtype=dtype,
            media_root=media_root,
            extra=tuple(word for each in engine_args or () for word in shlex.split(each)),
        )
        status = process.serve(
            backend,
            model,
            options,
            ready=ready,
            command=command or (),
            ready_file=ready_file,
            engine=engine_env,
        )
        raise typer.Exit(status)
    status = local.serve(
        model,
        host=host,
        port=port,
        ready=ready,
        command=command or (),
        ready_file=ready_file,
        name=name,
        max_batch=max_batch,
        max_model_len=max_model_len,
        dtype=dtype,
        threads=threads,
        media_root=media_root,
    )
    raise typer.Exit(status)

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
            "--replicas", metavar="N", min=1, help="Number of engines, which share the GPUs equally"
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
            help="Maximum tokens of prompt and response together; by default 8192 (our choice), or the "
            "model's limit if lower. Memory must hold the keys and values of --max-batch times as many",
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
            help="Threads of the local engine on a CPU; by default 1 for a small model, else 1 or one "
            "per core (at most OMP_NUM_THREADS), whichever is measured to be faster",
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

    The local engine runs transformers in this process, on text, images and videos, and batches requests
    as they arrive. The other requests of a batch change the last digits of logits, so a response may
    differ between runs even with a seed; --dtype float64 (local engine only) prevents that. vLLM and
    SGLang run with the flags that the recipe needs, in the environment that qvl doctor made or that is on
    PATH; their log goes to standard error. All three engines take the same frames of a video: 2 per
    second, at least 4 and at most 768, or every frame where a request sends frames. For this, SGLang
    gets qvl's loader of videos: its own takes other frames and resizes them twice.

    When the server is ready, it writes one JSON line to standard output, and to --ready-file, which it
    removes at the end: the endpoint, the model's name, the version of its weights, the capabilities of the server,
    and the number of threads of the local engine. Ctrl-C and SIGTERM stop the server; status 4 means that
    the engine died. If QVL_API_KEY is set, requests must carry it as a bearer token. It must be set where
    --host lets other machines in.

    With a COMMAND, the server runs until the command ends, and exits with the command's status. The
    command gets the endpoint as QVL_ENDPOINT in its environment, and in place of {endpoint} in its
    arguments. No JSON line is printed.

    With --replicas N, each request goes to the least busy of N engines. Requests with the same X-Session-Id
    header, such as the turns of a conversation, go to the same engine, which has computed their beginning,
    unless it is much busier than another. An engine that dies or answers nothing for a minute is restarted
    (not while it loads weights or sleeps), and its requests go to another. Only a stream that has begun is
    lost: it ends early, and its client must retry. New weights, pauses and sleep apply to all engines; a
    restarted engine gets the current weights before any request.

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

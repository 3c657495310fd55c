import shlex
import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from qvl.engines.fleet import replicas
from qvl.engines.serving import environments, external, server
from qvl.engines.serving.launch import DTYPES, Options
from qvl.errors import UserError


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A checkpoint's folder")],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND]...", help="Serve as long as this runs, then stop"),
    ] = None,
    backend: Annotated[
        str, typer.Option(metavar="local|vllm|sglang", help="The engine that answers")
    ] = "local",
    engine_args: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'FLAGS'", help="More flags of vLLM or SGLang, as in a shell; repeatable"
        ),
    ] = None,
    engine_env: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The environment of vLLM or SGLang, not the one of qvl-doctor(1)"
        ),
    ] = None,
    num_replicas: Annotated[
        int,
        typer.Option(
            "--replicas", metavar="N", min=1, help="Engines, on equal shares of the GPUs here"
        ),
    ] = 1,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Listen here")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="Listen here; 0 picks a free one")] = 8000,
    served_model_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its name in requests, not the folder's")
    ] = None,
    max_batch: Annotated[
        int, typer.Option(metavar="N", min=1, help="Answers decoded together (our choice)")
    ] = 64,
    max_model_len: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Tokens of prompt and answer; 8192 or the model's limit (our choice); "
            "keys and values for --max-batch times as many must fit in memory",
        ),
    ] = None,
    dtype: Annotated[
        str,
        typer.Option(
            metavar="|".join(DTYPES),
            help="Type of the arithmetic; auto is fp32 on a CPU, the checkpoint's own on a GPU",
        ),
    ] = "auto",
    media_root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Requests may name files of images and videos below it"),
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the endpoint here when ready, as JSON"),
    ] = None,
) -> None:
    """Serve a checkpoint behind an OpenAI-compatible endpoint.

    The local engine runs transformers in this process and decodes requests together as they come:
    text, images and videos. Logits depend, in their last digits, on what is computed beside them, and so may
    a seeded answer; with --dtype float64, which the local engine alone has, it is the same whatever else is
    asked. vLLM and SGLang run in the environment that qvl-doctor(1) made, or that
    is on PATH, with the flags that the recipe needs; their log goes to standard error. All three see the same of a video:
    2 frames a second, 4 to 768 of them, or all the frames that are sent; SGLang by a loader of qvl's, as its own takes
    other frames and resizes them twice. When it is ready, one JSON line on standard output (and in --ready-file,
    which goes away with the server) holds the endpoint, the model's name, the version of its weights and what the server can do. Ctrl-C and SIGTERM
    stop it, and status 4 says that the engine died. With a COMMAND it serves as long as that runs, with QVL_ENDPOINT in its environment and
    {endpoint} in its words replaced, and ends with its exit status; the JSON line is left out.
    Where QVL_API_KEY is set, requests must hold it; beyond loopback it must be set.

    With --replicas a request goes to the least busy of N engines. One that dies, or answers nothing
    for a minute (save while its weights change or sleep, when engines are silent), is started again, and what it was asked is asked of another; a stream that it had begun is cut, for its client to
    ask again. New weights, pauses and sleep are told to all by the one endpoint; one that is started again
    gets the present weights before it is asked anything.

    \b
    Examples:
        $ qvl serve twin --port 0 -- qvl eval --max-tokens 4 test.jsonl.zst -o scored.jsonl.zst
        $ qvl serve twin --port 0 -- sh -c 'curl -s {endpoint}/v1/models'
        $ qvl serve twin --replicas 2 --port 0 -- qvl generate --max-tokens 4 test.jsonl.zst | zstdcat
    """

    def ready(facts: dict) -> None:
        print(f"qvl serve: {facts['model']} at {facts['endpoint']}", file=sys.stderr, flush=True)
        if not command:
            print(orjson.dumps(facts).decode(), flush=True)

    if backend not in ("local", *environments.ENGINES):
        raise UserError(
            f"--backend {backend}: there are {', '.join(('local', *environments.ENGINES))}"
        )
    if backend == "local" and (engine_args or engine_env):
        raise UserError("--engine-args and --engine-env go with --backend vllm or sglang")
    if dtype not in DTYPES:
        raise UserError(f"--dtype {dtype}: there are {', '.join(DTYPES)}")
    name = served_model_name or model.resolve().name
    if num_replicas > 1:
        given = {
            "--backend": backend,
            "--engine-env": engine_env,
            "--served-model-name": name,
            "--max-batch": max_batch,
            "--max-model-len": max_model_len,
            "--dtype": dtype,
            "--media-root": media_root,
        }
        words = [f"{flag}={value}" for flag, value in given.items() if value is not None]
        words += [f"--engine-args={flags}" for flags in engine_args or ()]
        status = replicas.serve(
            [sys.executable, sys.argv[0], "serve", str(model), *words],
            model,
            num_replicas,
            host=host,
            port=port,
            ready=ready,
            tell=lambda what: print(f"qvl serve: {what}", file=sys.stderr, flush=True),
            served=command or (),
            ready_file=ready_file,
        )
        raise typer.Exit(status)
    if backend != "local":
        options = Options(
            host=host,
            port=port,
            name=name,
            max_batch=max_batch,
            max_model_len=max_model_len,
            dtype=dtype,
            media_root=media_root,
            extra=tuple(word for each in engine_args or () for word in shlex.split(each)),
        )
        status = external.serve(
            backend,
            model,
            options,
            ready=ready,
            command=command or (),
            ready_file=ready_file,
            engine=engine_env,
        )
        raise typer.Exit(status)
    status = server.serve_local(
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
        media_root=media_root,
    )
    raise typer.Exit(status)

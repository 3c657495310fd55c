from typing import Annotated

import typer

from qvl import client, stage
from qvl.client.cache import kept
from qvl.errors import UserError
from qvl.sampling import presets, samples, structured_output
from qvl.sampling.generate import Generate

from .endpoint_options import EndpointOptions, RequestOptions, SamplingOptions
from .options import MediaOptions, ResumableStreamOptions, Seed, find_verifier


def command(
    sampling: SamplingOptions,
    endpoint: EndpointOptions,
    requests: RequestOptions,
    media: MediaOptions,
    stream: ResumableStreamOptions,
    num_samples: Annotated[
        int,
        typer.Option(
            "-n", "--num-samples", metavar="N", min=1, help="Number of responses per record"
        ),
    ] = 1,
    token_ids: Annotated[
        bool, typer.Option("--token-ids", help="Keep the token ids of prompt and response")
    ] = False,
    logprobs: Annotated[
        bool,
        typer.Option("--logprobs", help="Keep the log-probability of each token of a response"),
    ] = False,
    top_logprobs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="With --logprobs, also keep the N most likely tokens at each position",
        ),
    ] = None,
    json_schema: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|JSON",
            help="Constrain responses to JSON of this schema, without reasoning",
        ),
    ] = None,
    regex: Annotated[
        str | None,
        typer.Option(metavar="RE", help="Constrain responses to match this regular expression"),
    ] = None,
    early_stop: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            min=0,
            max=1,
            help="Request no more samples once --max-pass-rate RATE is decided",
        ),
    ] = None,
    verifier: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            callback=find_verifier,
            help="With --early-stop, the verifier of all records instead of their tasks",
        ),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Sample responses to each record from an endpoint.

    Reads records; a final assistant turn, the one to learn, is not sent. Appends to the `responses` of
    each: content, reasoning_content (the text before </think>), tool_calls, finish_reason, num_tokens,
    model and sampling. The seed of a sample is derived from --seed, the record's id and the sample's
    number, so a run that is resumed or sharded sends the same requests.

    Presets are the report's settings, with at most 32,768 tokens (AIME-25 and the like: --max-tokens
    81920):

      instruct        the models of 235B, 32B and 30B
      instruct-small  those of 8B, 4B and 2B
      thinking        the mixtures of experts
      thinking-dense  the dense models

    qvl serve, vLLM and SGLang enforce --json-schema and --regex token by token. With an endpoint that
    does not know them, or ignores them, the command stops with status 2.

    With --early-stop, samples are requested in four rounds (our choice), and each is judged as by qvl
    verify before the next; the verdicts are kept. A record gets no more samples once more than RATE of
    the -n have passed, or can no longer pass: qvl filter-difficulty --max-pass-rate RATE decides as it
    would with all. A missing verdict decides nothing. Use it for that filter only: training on the
    samples, --min-pass-rate, --min-tokens and --sure need all.

    When --max-total-tokens is reached, requests in flight are finished and kept. The command then stops
    with status 3, and --resume continues.

    Examples:
        $ qvl serve twin --port 0 -- qvl generate -n 2 --max-tokens 4 test.jsonl.zst | zstdcat
        $ qvl generate --regex 'yes|no' test.jsonl.zst -o judged.jsonl.zst
        $ qvl generate -n 4 --preset instruct --max-tokens 8 test.jsonl.zst -o sampled.jsonl.zst
        $ qvl generate -n 8 --early-stop 0.5 --max-tokens 4 test.jsonl.zst | qvl filter-difficulty -o hard.jsonl.zst
    """
    parameters = sampling.parameters()
    thinking = presets.thinks(sampling.preset)
    if requests.max_total_tokens is not None and stream.output == "-" and requests.cache is None:
        raise UserError(
            "--max-total-tokens needs -o FILE or --cache FILE, so that finished responses are kept"
        )
    if verifier is not None and early_stop is None:
        raise UserError(f"--verifier {verifier}: needs --early-stop")
    config = samples.SamplingConfig(
        num_samples=num_samples,
        sampling=parameters,
        seed=seed,
        thinking=thinking,
        token_ids=token_ids,
        logprobs=logprobs,
        top_logprobs=top_logprobs,
        response_format=structured_output.read(json_schema, regex),
    )
    if config.response_format:
        from qvl.engines import probe  # its imports are slow

        for each in endpoint.endpoint or ():
            probe.check_parameter(
                each, config.response_format.flag, tuple(config.response_format.fields())
            )
    with (
        kept(requests.cache, stream.output, resume=stream.resume) as answers,
        client.Client(
            endpoint.endpoint or (),
            endpoint.model,
            **requests.limits(),
            root=media.root(stream.files),
            allow_remote=media.allow_remote,
            cache=answers,
            budget=client.Budget(requests.max_total_tokens),
        ) as connected,
        stream.run(
            "generate",
            seed=seed,
            config={"model": connected.model, "sampling": parameters, "num_samples": num_samples}
            | {"thinking": thinking, "token_ids": token_ids, "logprobs": logprobs}
            | ({"top_logprobs": top_logprobs} if top_logprobs is not None else {})
            | ({"form": config.response_format.fields()} if config.response_format else {})
            | ({"early_stop": early_stop} if early_stop is not None else {})
            | ({"verifier": verifier} if verifier else {}),
            conserves=True,
        ) as run,
    ):
        generate = Generate(
            client=connected,
            config=config,
            max_pass_rate=early_stop,
            verifier=verifier,
            stop=stream.on_error == "stop",
        )
        generated = stage.submit_each(
            run, generate.submit, concurrency=requests.concurrency, watch=generate.watch
        )
        run.write(generated)
        if early_stop is not None:
            run.note(samples_saved=generate.saved)
        run.note(**connected.facts)

from typing import Annotated

import typer

from qvl import client, reward, stage
from qvl.client.cache import kept
from qvl.errors import UserError
from qvl.sampling import presets, samples, structured_output
from qvl.sampling.early_stop import EarlyStop

from .endpoint_options import EndpointOptions, RequestOptions, SamplingOptions
from .options import MediaOptions, ResumableStreamOptions, Seed


def command(
    sampling: SamplingOptions,
    endpoint: EndpointOptions,
    requests: RequestOptions,
    media: MediaOptions,
    stream: ResumableStreamOptions,
    num_samples: Annotated[
        int,
        typer.Option("-n", "--num-samples", metavar="N", min=1, help="Answers to add to a record"),
    ] = 1,
    token_ids: Annotated[
        bool, typer.Option("--token-ids", help="Keep the ids of the prompt's and answer's tokens")
    ] = False,
    logprobs: Annotated[
        bool, typer.Option("--logprobs", help="Keep the log-probability of each answer's tokens")
    ] = False,
    top_logprobs: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="With --logprobs: the likeliest tokens beside each"),
    ] = None,
    json_schema: Annotated[
        str | None,
        typer.Option(metavar="FILE|JSON", help="Answers are JSON of this schema, no thought first"),
    ] = None,
    regex: Annotated[
        str | None,
        typer.Option(metavar="RE", help="Answers match this expression from end to end"),
    ] = None,
    early_stop: Annotated[
        float | None,
        typer.Option(
            metavar="RATE", min=0, max=1, help="Ask no more once --max-pass-rate RATE is settled"
        ),
    ] = None,
    verifier: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --early-stop: judge all by it, not by their task"),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Sample answers to each record from an endpoint.

    Reads records; the assistant's turn to learn, where one ends a record, is not sent. Writes each
    with the answers added to its responses: content, reasoning_content (what comes before
    </think>), tool_calls, finish_reason, num_tokens, model and sampling. The seed of a sample
    follows from --seed, the record's id and the sample's number, so that a run that is resumed or
    sharded asks the same. Presets are the report's settings: instruct for 235B, 32B and 30B,
    instruct-small for 8B, 4B and 2B, thinking for the mixtures of experts, thinking-dense; all end
    answers at 32,768 tokens (AIME-25 and the like: --max-tokens 81920).

    --json-schema and --regex are kept to token by token by qvl serve, vLLM and SGLang; at an
    endpoint that does not know them, or passes them over, the command stops with status 2.

    With --early-stop the samples are asked for in four rounds (our choice), each judged before the
    next as qvl verify would, and the verdicts are kept. A record gets no further ones where more than
    RATE of -n pass, or so many no longer can: qvl filter-difficulty --max-pass-rate RATE says of it
    what it would say of all. A verdict that could not be given settles nothing. That is for a filter:
    who trains on the samples, or asks for --min-pass-rate, --min-tokens or --sure, wants all.

    What is in flight when --max-total-tokens is reached is still finished and kept; then the
    command stops with status 3, and --resume goes on.

    \b
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
            "--max-total-tokens needs -o FILE or --cache FILE, so that what was paid for is kept"
        )
    if verifier is not None:
        if early_stop is None:
            raise UserError(f"--verifier {verifier} goes with --early-stop")
        reward.find(verifier)
    asking = samples.SamplingConfig(
        num_samples=num_samples,
        sampling=parameters,
        seed=seed,
        thinking=thinking,
        max_total_tokens=requests.max_total_tokens,
        token_ids=token_ids,
        logprobs=logprobs,
        top_logprobs=top_logprobs,
        form=structured_output.read(json_schema, regex),
    )
    if asking.form:
        from qvl.engines import probe  # its imports are slow

        for each in endpoint.endpoint or ():
            probe.check_parameter(each, asking.form.flag, tuple(asking.form.fields()))
    with (
        kept(requests.cache, stream.output, resume=stream.resume) as answers,
        client.Client(
            endpoint.endpoint or (),
            endpoint.model,
            **requests.limits(),
            root=media.root(stream.files),
            allow_remote=media.allow_remote,
            cache=answers,
            budget=client.Budget(requests.max_total_tokens if early_stop is not None else None),
        ) as asked,
        stream.run(
            "generate",
            seed=seed,
            config={"model": asked.model, "sampling": parameters, "num_samples": num_samples}
            | {"thinking": thinking, "token_ids": token_ids, "logprobs": logprobs}
            | ({"top_logprobs": top_logprobs} if top_logprobs is not None else {})
            | ({"form": asking.form.fields()} if asking.form else {})
            | ({"early_stop": early_stop} if early_stop is not None else {})
            | ({"verifier": verifier} if verifier else {}),
            conserves=True,
        ) as run,
    ):
        stop = stream.on_error == "stop"
        if early_stop is None:
            answered = stage.each(
                run,
                lambda record: samples.generate(record, asked, asking, stop=stop),
                concurrency=requests.concurrency,
            )
            run.write(answered)
        else:
            early = EarlyStop(
                client=asked,
                asking=asking,
                max_pass_rate=early_stop,
                verifier=verifier,
                stop=stop,
            )
            run.write(
                stage.submit_each(
                    run, early.submit, concurrency=requests.concurrency, watch=early.watch
                )
            )
            run.note(samples_saved=early.saved)
        run.note(**asked.facts)

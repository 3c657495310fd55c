from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from qvl import client, stage
from qvl.agent.settings import MAX_TOKENS

from .agent_options import EpisodeOptions, ToolOptions
from .options import MediaOptions, ResumableStreamOptions, Seed


def command(
    tools: ToolOptions,
    episodes: EpisodeOptions,
    media: MediaOptions,
    stream: ResumableStreamOptions,
    model: Annotated[
        str, typer.Option("--model", metavar="DIR", help="Hugging Face folder of the served model")
    ],
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="QVL_ENDPOINT",
            help="Engine that serves the model: qvl serve, vLLM or SGLang",
        ),
    ] = None,
    num_samples: Annotated[
        int,
        typer.Option(
            "-n", "--num-samples", metavar="N", min=1, help="Number of episodes per record"
        ),
    ] = 1,
    temperature: Annotated[
        float, typer.Option(metavar="X", min=0, help="Sampling temperature, 0 for greedy decoding")
    ] = 1.0,
    top_p: Annotated[
        float, typer.Option(metavar="X", help="Nucleus sampling probability mass")
    ] = 1.0,
    top_k: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Sample from the N most likely tokens; 0 for all"),
    ] = 0,
    max_tokens: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Maximum tokens to sample per episode (our choice)"),
    ] = MAX_TOKENS,
    concurrency: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum number of open requests")
    ] = client.CONCURRENCY,
    seed: Seed = 0,
) -> None:
    """Let an agent answer: it thinks, calls tools, reads what comes back, and answers.

    Reads records that end in the user's turn; a final assistant turn is not sent. Appends -n episodes to
    `responses`. An episode has its answer in `content`, which is empty if there is none; the whole
    trajectory, with the images of the tools, in `messages`; `calls`, `num_calls` and `finish_reason`;
    and its tokens: prompt_token_ids, token_ids, `sampled` (the spans of token_ids that the model sampled;
    it read the rest), their logprobs, and `images` and `grids` of the tools. See qvl-records(5).

    The engine is sent token ids and returns token ids, so that no text is tokenised twice: a turn stays
    the tokens that were sampled, and what a tool returns is tokenised once, as the chat template writes
    it. If a tool's text has a mark of the template, such as <|im_end|>, a space is put into the mark.

    Calls are read in Hermes' format, <tool_call>{"name": ..., "arguments": {...}}</tool_call>, with common slips:
    missing ends, single quotes, a comma too many. A call inside the thinking is ignored. If a call cannot
    be read, names no tool or fails, the model reads a text that says so.

    \b
    An episode ends (finish_reason) when the model
      stop      answers without a call
      length    reaches --max-tokens, --max-turn-tokens or --max-context
      turns     still calls a tool in turn --max-turns
      refused   has a prompt that the engine refuses

    Images of tools are written below the media root and named by their content. So a run that is repeated
    or resumed writes the same bytes, if sampling is repeatable: with qvl serve --max-batch 1, or with
    --temperature 0 on the same machine.

    Examples:
        $ qvl serve twin --port 0 -- qvl agent-rollout --model twin --tool image_zoom_in_tool --max-tokens 16 test.jsonl.zst -o seen.jsonl.zst
        $ qvl agent-rollout --model twin -n 4 --tool image_zoom_in_tool,code_interpreter --max-tokens 8 test.jsonl.zst -o four.jsonl.zst
    """
    from qvl.agent.agent import Agent
    from qvl.agent.rollout import Rollout
    from qvl.engines.client import connect
    from qvl.engines.tokens import SamplingParams
    from qvl.errors import UserError

    if not endpoint:
        raise UserError("no engine; give --endpoint URL, or run inside qvl serve MODEL -- ...")
    if num_samples > 1 and temperature == 0:
        raise UserError(f"-n {num_samples} at --temperature 0 are all the same episode")
    settings = episodes.settings(tools.settings(), max_tokens)
    settings.check()
    sampling: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
    sampling |= {"top_p": top_p} if top_p != 1 else {}
    sampling |= {"top_k": top_k} if top_k else {}
    root = media.root(stream.files)
    with (
        connect(endpoint, Path(model), concurrency=concurrency) as engine,
        Agent(settings, engine, Path(model), root, allow_remote=media.allow_remote) as agent,
        stream.run(
            "agent-rollout",
            seed=seed,
            config={
                "model": model,
                "sampling": sampling,
                "num_samples": num_samples,
                "tools": list(settings.tools.names),
                "zoom_min_tokens": settings.tools.min_tokens,
                "max_turns": settings.max_turns,
                "max_calls": settings.max_calls,
                "max_context": settings.max_context,
                "schemas": settings.schemas,
            },
            conserves=True,
        ) as run,
    ):
        rollout = Rollout(
            agent=agent,
            num_samples=num_samples,
            params=SamplingParams(temperature=temperature, top_p=top_p, top_k=top_k),
            sampling=sampling,
            seed=seed,
            stop=stream.on_error == "stop",
        )
        done = stage.submit_each(
            run,
            rollout.submit,
            concurrency=-(-concurrency // num_samples),
            watch=rollout.watch,
        )
        totals: Counter[str] = Counter()
        run.write(_counted(done, totals, num_samples))
        episodes_ = totals["episodes"] or 1
        run.note(
            **{
                name: totals[name]
                for name in ("stop", "length", "turns", "refused")
                if totals[name]
            },
            calls=round(totals["calls"] / episodes_, 4),
            failed_calls=totals["failed"],
        )


def _counted(records: Iterable[dict], totals: Counter[str], new: int) -> Iterator[dict]:
    for record in records:
        for response in record["responses"][-new:]:
            totals["episodes"] += 1
            totals[response["finish_reason"]] += 1
            totals["calls"] += response["num_calls"]
            totals["failed"] += sum(call["failed"] for call in response["calls"])
        yield record

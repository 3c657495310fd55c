from typing import Annotated

import typer

from qvl import stage
from qvl.streams.expression import option
from qvl.streams.select import Choice

from .options import StreamOptions


def command(
    stream: StreamOptions,
    expression: Annotated[
        str, typer.Argument(metavar="EXPRESSION", help="Keep the records of which this is true")
    ],
) -> None:
    """Keep the records of which an expression is true.

    Fields are written task, scores.quality.value, messages[-1].role, scores["odd name"] and, of each
    element, responses[*].reward; a missing one is null. Values are numbers, quoted strings, true,
    false, null and [lists]. There are == != < <= > >= in, not in, and, or, not, + - * / % and ().
    null, false, 0 and what is empty count as false.

    Unlike types are never equal. An order exists between two numbers or two strings; any other is
    false, so that a missing score is neither over nor under a threshold, and the summary counts
    comparisons of unlike types other than null. Arithmetic without a result is null.

    Functions of values: len(x), lower(x), contains(x, y), startswith(x, y), endswith(x, y),
    matches(x, "regex") anywhere in x, has(field), field("odd name"), and min, max, mean of a list.
    Functions of the record: text() of all turns, text("user") of one role, question(), final(),
    prompt(), images(), videos(), modality() which is text or multimodal, media() which is text,
    image, video or image+video. A regex that takes over a second on one text is an error.

    \b
    Examples:
        $ qvl select 'task == "math"' records.jsonl.zst | zstdcat
        $ qvl select 'modality() == "multimodal" and len(answer) < 5' records.jsonl.zst | zstdcat
        $ qvl select 'not matches(text("user"), "(?i)sky|primes")' records.jsonl.zst | zstdcat
        $ qvl select 'mean(responses[*].reward) < 0.9 or not has(responses)' records.jsonl.zst | zstdcat
    """
    condition = option("EXPRESSION", expression)
    with stream.run(
        "select",
        conserves=True,
        config={"expression": expression},
    ) as run:
        run.write(stage.keep(run, Choice(condition, run)))
        if condition.unlike:
            run.note(comparisons_of_unlike_types=condition.unlike)

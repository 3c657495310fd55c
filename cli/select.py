from typing import Annotated

import typer

from qvl import stage
from qvl.streams.expression import option
from qvl.streams.select import Select

from .options import StreamOptions, refuse_file


def command(
    stream: StreamOptions,
    expression: Annotated[
        str, typer.Argument(metavar="EXPRESSION", help="Keep the records for which this is true")
    ],
) -> None:
    """Keep the records for which an expression is true.

    A field is written as task, scores.quality.value, messages[-1].role or scores["odd name"], and as
    responses[*].reward for every element of a list; a missing field is null. Literals are numbers,
    quoted strings, true, false, null and [lists]. null, false, 0 and empty values count as false.

      operators   == != < <= > >=, in, not in, and, or, not, + - * / %, ()
      of values   len(x), lower(x), contains(x, y), startswith(x, y), endswith(x, y),
                  matches(x, "regex") anywhere in x, has(field), field("odd name"),
                  min(list), max(list), mean(list)
      of records  text() of all turns, text("user") of one role, question(), final(),
                  prompt(), images(), videos(),
                  modality(): text or multimodal,
                  media(): text, image, video or image+video
                  language(): of the question, roughly, such as en

    Values of different types are never equal, and only two numbers or two strings have an order. Any
    other comparison is false, so a missing score is neither above nor below a threshold. The summary
    counts comparisons of different types, except with null. + also joins two strings. Arithmetic without
    a result is null. A regex that takes over a second on one text is an error.

    Examples:
        $ qvl select 'task == "math"' records.jsonl.zst | zstdcat
        $ qvl select 'modality() == "multimodal" and len(answer) < 5' records.jsonl.zst | zstdcat
        $ qvl select 'not matches(text("user"), "(?i)sky|primes")' records.jsonl.zst | zstdcat
        $ qvl select 'mean(responses[*].reward) < 0.9 or not has(responses)' records.jsonl.zst | zstdcat
    """
    refuse_file("EXPRESSION", expression, "qvl select 'task == \"math\"' FILE")
    condition = option("EXPRESSION", expression)
    with stream.run(
        "select",
        conserves=True,
        expressions=[condition],
        config={"expression": expression},
    ) as run:
        run.write(stage.keep(run, Select(condition, run)))
        if condition.unlike:
            run.note(comparisons_of_unlike_types=condition.unlike)

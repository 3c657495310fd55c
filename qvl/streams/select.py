"""Keep the records for which an expression is true (qvl.streams.expression)."""

from qvl.errors import UserError
from qvl.stage import Drop, Run
from qvl.streams.expression import Expression
from qvl.streams.functions import Slow


class Select:
    """The stage function of `qvl select`: None to keep a record, else why it is dropped."""

    def __init__(self, condition: Expression, run: Run) -> None:
        self.condition, self.run = condition, run

    def __call__(self, record: dict) -> str | Drop | None:
        try:
            return None if self.condition(record) else "not-selected"
        except Slow as error:
            if self.run.on_error == "stop":
                raise UserError(f"record {record.get('id')!r}: {error}") from None
            return Drop("slow-pattern", str(error))

"""Errors a user can act on. Anything else is a bug and keeps its traceback."""

from importlib import import_module
from types import ModuleType


class UserError(Exception):
    """Bad input, a bad flag value, an absent dependency: printed as one line, exit status 2."""

    status = 2


class CheckFailed(UserError):
    """The data failed the check that the command makes: exit status 3."""

    status = 3


class EndpointError(UserError):
    """An endpoint or engine failed after its retries; what was done is kept: exit status 4."""

    status = 4


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived: unwinds like KeyboardInterrupt, so that the state is left resumable.

    The exit status is 128 and the number of the signal: 143, or 129 for SIGHUP.
    """

    def __init__(self, number: int = 15) -> None:
        super().__init__(number)
        self.status = 128 + number


def need(module: str, extra: str | None = None) -> ModuleType:
    """Import `module` on first use; UserError with the cure where it is absent.

    extra: which of qvl's extras has it; None for what qvl always depends on, but does not import at start.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise
        name = module.partition(".")[0]
        cure = f"'qvl[{extra}]'" if extra else "qvl"
        raise UserError(f"{name} is not installed; try: pip install {cure}") from None

"""Groups of options: a dataclass of options that a command takes as one parameter.

    def command(stream: Annotated[StreamOptions, without("shard")], seed: Seed = 0) -> None: ...

typer reads flat functions only, so `flattened` shows it one: the command's own parameters, then the
fields of each group. A field has its type, flag and help in `Annotated`, and its default after `=`,
as a parameter has; without one it is required.
"""

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, NamedTuple, dataclass_transform, get_args, get_origin

from typer.models import OptionInfo


@dataclass_transform()
def group(kind: type) -> Any:
    """Make a dataclass of options, without the methods that would cost 3 % of a command's start."""
    return dataclass(eq=False, repr=False)(kind)


class Without(NamedTuple):
    names: frozenset[str]


def without(*names: str) -> Without:
    """Mark a group, inside Annotated: the command does not take these fields."""
    return Without(frozenset(names))


def flattened(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer reads it: one parameter for each option, none for a group."""
    own: list[inspect.Parameter] = []
    shared: list[inspect.Parameter] = []
    groups: dict[str, tuple[type, list[str]]] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind, left_out = _group(parameter.annotation)
        if kind is None:
            own.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        taken = [_parameter(each, kind) for each in fields(kind) if each.name not in left_out]
        groups[parameter.name] = kind, [each.name for each in taken]
        shared += taken

    @wraps(command)
    def call(**values: Any) -> None:
        for name, (kind, names) in groups.items():
            values[name] = kind(**{field: values.pop(field) for field in names})
        command(**values)

    parameters = [*own, *shared]
    call.__dict__["__signature__"] = inspect.Signature(parameters)
    call.__annotations__ = {}  # typer reads the signature; hints would be resolved once more
    return call


def _group(annotation: Any) -> tuple[Any, frozenset[str]]:
    """The dataclass of a parameter that is a group, and the fields left out; (None, none) else."""
    kind, *marks = get_args(annotation) if get_origin(annotation) is Annotated else [annotation]
    if not is_dataclass(kind):
        return None, frozenset()
    left_out = frozenset[str]().union(*(mark.names for mark in marks))
    unknown = left_out - {each.name for each in fields(kind)}
    assert not unknown, f"{kind}: no field {', '.join(unknown)}"
    return kind, left_out


def _parameter(field: Any, kind: Any) -> inspect.Parameter:
    """A field as a parameter; --help and man list it under the group's `title`."""
    annotation = field.type
    of, info = get_args(annotation)
    if isinstance(info, OptionInfo):
        info = copy(info)  # commands may take the same option outside the group
        info.rich_help_panel = kind.title
        annotation = Annotated[of, info]
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if field.default is MISSING else field.default,
        annotation=annotation,
    )

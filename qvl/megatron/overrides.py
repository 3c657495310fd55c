"""Fields of Megatron's dataclasses that a user sets: --set and --set-optimizer."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from qvl.errors import UserError
from qvl.megatron.field_names import check_names

DTYPES = {  # for fields whose name ends in dtype; fp8 values are kept in bytes
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp8": torch.uint8,
}


def checked(fields: Mapping[str, Any], kind: Any, flag: str) -> dict[str, Any]:
    """The fields, with types for their names. UserError for one that the dataclass does not have."""
    known = {field.name for field in dataclasses.fields(kind)}
    check_names(fields, known, kind.__name__, flag)
    return {
        name: DTYPES.get(value, value) if name.endswith("dtype") else value
        for name, value in fields.items()
    }


@contextmanager
def rejections(fields: Mapping[str, Any], flag: str) -> Iterator[None]:
    """Turn what Megatron raises of fields that a user set into a UserError."""
    try:
        yield
    except (AssertionError, ImportError, RuntimeError, TypeError, ValueError) as error:
        if not fields:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{flag}: rejected by Megatron: {reason}") from None

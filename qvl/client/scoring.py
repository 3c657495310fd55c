"""Scalar reward models behind an endpoint: a conversation in, one number out.

vLLM serves them with --runner pooling at /classify, which takes messages, images among them, and
renders them with the model's own template. A reward model has one label; what it gives is asked for
without activation: the head's own value, which has no bounds.
"""

from typing import TYPE_CHECKING, Any

from qvl.client.endpoint import Failure, Refused
from qvl.errors import UserError

if TYPE_CHECKING:
    from qvl.client.client import Client

PATH = "/classify"


async def score(client: "Client", model: str, messages: list[dict]) -> float:
    """The reward model's value. UserError where the endpoint serves none."""
    fields: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "add_generation_prompt": False,
        "use_activation": False,
    }
    try:
        answer = await client.post(PATH, fields, check, settled=True)
    except UserError as error:
        if "answered 404" in str(error) and not isinstance(error, Refused):
            raise UserError(
                f"{error}; a reward model is served by vLLM: qvl serve MODEL --backend vllm "
                "--engine-args '--runner pooling'"
            ) from None
        raise
    return value(answer)


def value(answer: dict) -> float:
    return float(answer["data"][0]["probs"][0])


def check(answer: dict) -> dict:
    """An answer that holds one value; Failure for none, UserError for those of several labels."""
    rows = answer.get("data")
    values = rows[0].get("probs") if isinstance(rows, list) and len(rows) == 1 else None
    if not isinstance(values, list) or not values:
        raise Failure("answered 200 without a score")
    if len(values) > 1:
        raise UserError(
            f"the reward model gives {len(values)} values: it is a classifier of labels"
        )
    if not isinstance(values[0], int | float):
        raise Failure(f"gave {values[0]!r} for a score")
    return answer

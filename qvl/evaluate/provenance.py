"""What made the numbers of a report: the servers as they describe themselves, and their image processors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from qvl.engines.probe import probe
from qvl.engines.serving.server import LOOPBACK
from qvl.errors import EndpointError, UserError
from qvl.media import processor


def of(endpoints: Sequence[str]) -> list[dict[str, Any]]:
    """A description per server: what it serves, with which engine of which version, and the settings by which
    it resizes images and videos (`processors`), with who says so (`processors_from`)."""
    try:
        return [_described(each) for each in endpoints]
    except EndpointError:  # they have answered all; one that is gone now says nothing of itself
        return []


def _described(endpoint: str) -> dict[str, Any]:
    facts = probe(endpoint)
    if facts["processors"] is not None:
        return {**facts, "processors_from": "server"}
    if urlsplit(facts["endpoint"]).hostname in LOOPBACK:  # its folders are this machine's
        for folder in (facts["weights_folder"], facts["started_with"]):
            if found := folder and _of_folder(Path(folder)):
                return {**facts, "processors": found, "processors_from": folder}
    return {**facts, "processors_from": None}


def _of_folder(model: Path) -> dict[str, dict[str, Any]]:
    """The settings in a model's folder; empty for a folder that has none."""
    try:
        return processor.known(model)
    except (OSError, UserError):
        return {}

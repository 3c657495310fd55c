"""What is wrong with one image or video. A package that is not installed is another error."""

from collections.abc import Mapping
from typing import Any

from qvl.errors import UserError


class MediaError(UserError):
    """A reference that is missing, unreadable or not allowed; another flag or folder may mend it."""


class BrokenMedia(MediaError):
    """Content that is no image or video, whatever the flags: it concerns one record alone."""


class LostMedia(MediaError):
    """An image or video of a packed line that is not there as it was packed."""

    def __init__(self, reference: str, reason: str) -> None:
        super().__init__(reference, reason)  # as pickle needs them
        self.reference, self.reason = reference, reason

    def __str__(self) -> str:
        return self.reason


def of_record(record: Mapping[str, Any], error: MediaError) -> MediaError:
    """The error with the record's name before it: a file's name alone says little in a large stream."""
    return MediaError(f"record {record.get('id')!r}: {error}")

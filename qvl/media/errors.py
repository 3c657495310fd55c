"""What is wrong with one image or video. A package that is not installed is another error."""

from qvl.errors import UserError


class MediaError(UserError):
    """A reference that is missing, unreadable or not allowed; another flag or folder may mend it."""


class BrokenMedia(MediaError):
    """Content that is no image or video, whatever the flags: it concerns one record alone."""

"""What can be wrong with a stream: damaged bytes, a cut, or frames that are not those it announced."""

from __future__ import annotations

from lab.errors import UserError


class BadStream(UserError):
    """The bytes are no valid `.aec`, or do not decode to the frames that it announces."""


class CutStream(BadStream):
    """The stream ends before its closing index; everything before the cut was delivered."""

"""Seeds at which a world once broke, kept as tests: seed → what was wrong, and how many experiments it took."""

from __future__ import annotations

KEPT: dict[int, tuple[int, str]] = {
    1: (200, "an infinite prediction was stored as null, and no daemon could read its experiment again"),
    10: (200, "the journal ended before the change by which the last daemon left"),
    8: (200, "money that an attempt had used was freed as unused"),
    67: (200, "a daemon that had waited for the lease began with the settings of its start, not those in force"),
    19: (200, "an experiment that was cancelled between the daemon's look and its payment ended the daemon"),
}

"""Every error that a person may see, as one tree. The message is one line and names the fix.

AetherError
├── UserError                 the person can mend it; exit code 2
│   ├── SettingsError         a wrong key or value in aether.toml
│   ├── NotFound              no experiment, clip or artefact of that name
│   └── LabHeld               another daemon holds the lab
├── Refused                   the ledger said no; nothing was written
│   ├── Stale                 the fence or the epoch is not the current one
│   ├── WrongState            the move is not in the table of moves
│   ├── Duplicate             this fingerprint has run already
│   └── OverBudget            the reservation does not fit
├── Conflict                  two writers met; reread and try again
├── Diverged                  a training has lost its way: NaN, or a loss that explodes
├── Unavailable               the backend cannot be reached now: disk full, throttled, locked
└── Damaged                   bytes do not match their hash
"""

from __future__ import annotations


class AetherError(Exception):
    """Base of all our errors; `exit_code` is what the command line returns for it."""

    exit_code = 1


class UserError(AetherError):
    exit_code = 2


class SettingsError(UserError):
    pass


class NotFound(UserError):
    pass


class LabHeld(UserError):
    """Another daemon holds the lab's lease; the message says who, where and since when."""


class Refused(AetherError):
    pass


class Stale(Refused):
    pass


class WrongState(Refused):
    pass


class Duplicate(Refused):
    """The fingerprint has run; `original` is the experiment that did."""

    def __init__(self, original: str) -> None:
        super().__init__(f"an experiment with this fingerprint exists already: {original}")
        self.original = original


class OverBudget(Refused):
    pass


class Conflict(AetherError):
    pass


class Diverged(AetherError):
    """A training has lost its way: NaN, or a loss that explodes. The experiment ends with this as its own reason."""


class Unavailable(AetherError):
    pass


class Damaged(AetherError):
    """Stored bytes do not match their hash; `aether doctor` restores what the journal still has."""

"""Listening for AWS's notices that this machine is to go, beside a worker whose steps may wait for other things.

A thread of its own asks every five seconds, as AWS advises; it touches nothing but the metadata service. What was heard
stays heard, and a graver notice takes the place of a lighter one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from lab.aws.metadata import Notice, notice

LOOK_S = 5.0

log = structlog.get_logger("worker")


class Notices:
    """See `listening`."""

    def __init__(self) -> None:
        self.heard: Notice | None = None

    @property
    def must_go(self) -> bool:
        """In two minutes or less, whatever is being done. A machine that is merely in danger need not: it takes
        nothing new, and what it has goes on."""
        return self.heard is not None and self.heard.kind != "rebalance"

    def __str__(self) -> str:
        if self.heard is None:
            return "told to go"
        when = f" at {self.heard.at}" if self.heard.at else ""
        return {"interruption": f"spot interruption{when}", "leaving": "its group ends this instance",
                "rebalance": f"spot rebalance recommendation{when}"}[self.heard.kind]


@contextmanager
def listening(here: bool, ask: Callable[[], Notice | None] = notice, look_s: float = LOOK_S) -> Iterator[Notices]:
    """What is heard while the block runs; nothing where this machine is none of AWS's (`here`)."""
    notices, over = Notices(), threading.Event()

    def listen() -> None:
        while not notices.must_go:
            told = ask()
            if told is not None and told != notices.heard:
                notices.heard = told
                log.info("notice", what=str(notices))
            if over.wait(look_s):
                return

    thread = threading.Thread(target=listen, name="notices", daemon=True)
    if here:
        thread.start()
    try:
        yield notices
    finally:
        over.set()
        if here:
            thread.join()

"""The messages that tell workers what waits: one for each payment, and another only where a queue has lost one.

A message that nobody received yet is no lost one. A second would call for machines that nobody needs, since fleets grow
by what lies in the queues, and what kills its receivers would never be received often enough to be put aside. So a
queue is asked how many could be received now, and only what it has too few for is sent again. What is in flight does
not count: on one machine, whose clock may be set back, it may stay there for hours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lab.backend import Queue
from lab.experiment import Experiment

RESEND_S = 30.0  # what nobody claimed for so long may be lost; and a queue is not asked more often


class Messages:
    def __init__(self, queues: Mapping[str, Queue], now: Callable[[], float]) -> None:
        self._queues, self._now = queues, now
        self._sent: dict[str, float] = {}  # experiment → when its message was last sent, by us
        self._asked: dict[str, float] = {}  # queue → when it was last asked

    def send(self, experiment: Experiment) -> None:
        self._queues[experiment.spec.job_class].send(experiment.id)
        self._sent[experiment.id] = self._now()

    def send_again(self, waiting: Sequence[Experiment]) -> None:
        """As many of what is paid and `waiting` as its queue has too few for. Nobody knows which is lost, so what was
        not sent for longest comes first, and the others later: a message too many is gone as soon as a worker has
        received it."""
        self._sent = {one.id: self._sent[one.id] for one in waiting if one.id in self._sent}
        for name in sorted({one.spec.job_class for one in waiting}):
            here = [one for one in waiting if one.spec.job_class == name]
            due = sorted((one for one in here if self._due(self._sent, one.id)),
                         key=lambda one: self._sent.get(one.id, -RESEND_S))
            if not due or not self._due(self._asked, name):
                continue
            missing = len(here) - self._queues[name].visible()
            self._asked[name] = self._now()
            for one in due[:max(missing, 0)]:
                self.send(one)

    def _due(self, since: Mapping[str, float], key: str) -> bool:
        return self._now() - since.get(key, -RESEND_S) >= RESEND_S

"""The messages that tell workers what waits: one for each payment, and another only where a queue has lost one.

A message that nobody received yet is no lost one. A second would call for machines that nobody needs, since fleets grow
by what lies in the queues, and what kills its receivers would never be received often enough to be put aside. So a
queue is asked how many it has, in flight or not, and only what it has too few of is sent again.
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

    def send_again(self, paid: Sequence[Experiment], waiting: Sequence[Experiment]) -> None:
        """As many of what is `waiting` as its queue has too few for all that is `paid`, which has a message each, that
        of a worker in flight. Nobody knows which is lost, so what was not sent for longest comes first, and the others
        later: a message too many is gone as soon as a worker has received it."""
        self._sent = {one.id: self._sent[one.id] for one in paid if one.id in self._sent}
        for name in sorted({one.spec.job_class for one in waiting}):
            due = sorted((one for one in waiting if one.spec.job_class == name and self._due(self._sent, one.id)),
                         key=lambda one: self._sent.get(one.id, -RESEND_S))
            if not due or not self._due(self._asked, name):
                continue
            missing = sum(one.spec.job_class == name for one in paid) - self._queues[name].waiting()
            self._asked[name] = self._now()
            for one in due[:max(missing, 0)]:
                self.send(one)

    def _due(self, since: Mapping[str, float], key: str) -> bool:
        return self._now() - since.get(key, -RESEND_S) >= RESEND_S

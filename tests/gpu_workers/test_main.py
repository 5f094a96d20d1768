"""A worker's process takes work of its own class, and leaves by itself where none comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_workers.main import serve
from lab.backend import open_backend


@pytest.mark.parametrize("job_class", ["cpu", "gpu"])
def test_a_worker_that_may_leave_empties_its_own_queue_and_goes(tmp_path: Path, job_class: str) -> None:
    """The hints are of work that nobody knows, so whoever receives one throws it away."""
    address = f"local:{tmp_path / 'lab'}"
    queues = open_backend(address, create=True).queues
    for queue in queues.values():
        queue.send("e99999")
    serve(address, job_classes=[job_class], idle_s=0.5)
    assert {name for name, queue in queues.items() if not queue.waiting()} == {job_class}


def test_a_worker_on_a_machine_of_ones_own_takes_all_that_is_there(tmp_path: Path) -> None:
    address = f"local:{tmp_path / 'lab'}"
    queues = open_backend(address, create=True).queues
    for queue in queues.values():
        queue.send("e99999")
    serve(address, idle_s=0.5)
    assert [queue.waiting() for queue in queues.values()] == [0, 0]

"""What a fleet may rent for each job class, and what the orchestrator is. Each of them has a price in the table."""

from __future__ import annotations

# cpu: 8 GiB of memory or more, for the encoders' boxes. gpu: one NVIDIA card of 16 GiB or more. No p family: its single
# cards are either older than the open driver of the image, or cost ten times a g6.
TYPES = {
    "cpu": ("c5.xlarge", "c5a.xlarge", "c6a.xlarge", "c6i.xlarge", "c7a.xlarge", "c7i.xlarge",
            "m5.xlarge", "m5a.xlarge", "m6a.xlarge", "m6i.xlarge", "m7a.xlarge", "m7i.xlarge"),
    "gpu": ("g4dn.xlarge", "g4dn.2xlarge", "g5.xlarge", "g5.2xlarge", "g5.4xlarge", "g6.xlarge", "g6.2xlarge",
            "g6.4xlarge", "g6e.xlarge", "g6e.2xlarge", "g6e.4xlarge"),
}
# All that the orchestrator installs has wheels for Arm, where the same size costs least. In 1 GiB the daemon and who
# proposes fit several times over; the boot adds 2 GiB of swap for what else a machine does.
ORCHESTRATOR = "t4g.micro"
ORCHESTRATOR_DISK_GIB = 16

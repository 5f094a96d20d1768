"""The fleets: `cpu` for classic encoders, so that these burn no GPU hours, and `gpu` for what trains."""

from __future__ import annotations

from aws_cdk import Stack
from constructs import Construct

from cdk import powers
from cdk.fleet import IDLE_MINUTES, Fleet
from cdk.lab import Lab
from cdk.machine import DEEP_LEARNING, UBUNTU, Kind, Machine
from cdk.network import Network
from cdk.settings import Settings
from lab.aws.names import Names
from lab.experiment import JOB_CLASSES

# cpu: 8 GiB of memory or more, for the encoders' boxes. gpu: one NVIDIA card of 16 GiB or more. No p family: its single
# cards are either older than the open driver of the image, or cost ten times a g6.
TYPES = {
    "cpu": ("c5.xlarge", "c5a.xlarge", "c6a.xlarge", "c6i.xlarge", "c7a.xlarge", "c7i.xlarge",
            "m5.xlarge", "m5a.xlarge", "m6a.xlarge", "m6i.xlarge", "m7a.xlarge", "m7i.xlarge"),
    "gpu": ("g4dn.xlarge", "g4dn.2xlarge", "g5.xlarge", "g5.2xlarge", "g5.4xlarge", "g6.xlarge", "g6.2xlarge",
            "g6.4xlarge", "g6e.xlarge", "g6e.2xlarge", "g6e.4xlarge"),
}
SET = {"cpu": "core", "gpu": "learned"}
IMAGE = {"cpu": UBUNTU.format("amd64"), "gpu": DEEP_LEARNING}
VOLUME_GIB = {"cpu": 40, "gpu": 150}


class Workers(Stack):
    def __init__(self, scope: Construct, id: str, settings: Settings, names: Names, network: Network, lab: Lab) -> None:
        super().__init__(scope, id, description="Aether: spot fleets of workers")
        for one in JOB_CLASSES:
            kind = Kind(role=one, set=SET[one], image=IMAGE[one], volume_gib=VOLUME_GIB[one], restart="on-failure",
                        command=f"work --backend aws:{names.prefix} --job-class {one} --idle-minutes {IDLE_MINUTES}")
            machine = Machine(self, one.title(), kind, names, network.closed,
                              [*powers.to_receive(names, one), *powers.to_retire(names),
                               *powers.to_leave(f"{names.prefix}-{one}")])
            fleet = Fleet(self, f"{one.title()}Fleet", machine, network, lab.queues[one], TYPES[one],
                          settings.maximum(one))
            machine.runs(fleet.group)

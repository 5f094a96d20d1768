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
from lab.aws.rentable import TYPES
from lab.experiment import JOB_CLASSES

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
            fleet = Fleet(self, f"{one.title()}Fleet", names.prefix, machine, network, lab.queues[one], TYPES[one],
                          settings.maximum(one))
            machine.runs(fleet.group)

"""The fleets: `cpu` for classic encoders, so that these burn no GPU hours, and `gpu` for what trains."""

from __future__ import annotations

from aws_cdk import Stack
from constructs import Construct

from cdk import powers
from cdk.fleet import IDLE_MINUTES, Fleet
from cdk.images import parameter
from cdk.lab import Lab
from cdk.machine import IMAGE, SET, VOLUME_GIB, Kind, Machine
from cdk.network import Network
from cdk.settings import Settings
from lab.aws.names import Names
from lab.aws.rentable import TYPES
from lab.experiment import JOB_CLASSES


class Workers(Stack):
    def __init__(self, scope: Construct, id: str, settings: Settings, names: Names, network: Network, lab: Lab) -> None:
        super().__init__(scope, id, description="Aether: spot fleets of workers")
        for one in JOB_CLASSES:
            image = parameter(names, one) if one in settings.baked else IMAGE[one]
            kind = Kind(role=one, set=SET[one], image=image, volume_gib=VOLUME_GIB[one], restart="on-failure",
                        command=f"work --backend aws:{names.prefix} --job-class {one} --idle-minutes {IDLE_MINUTES}")
            machine = Machine(self, one.title(), kind, names, network.closed,
                              [*powers.to_receive(names, one), *powers.to_retire(names),
                               *powers.to_leave(f"{names.prefix}-{one}")])
            fleet = Fleet(self, f"{one.title()}Fleet", names.prefix, machine, network, lab.queues[one], TYPES[one],
                          settings.maximum(one))
            machine.runs(fleet.group)

"""One function: a duty of `agents/handlers.py` with a role of its own, and a log that is kept for a month.

All functions share our code, and their packages in a layer (`cdk.packages`): neither is uploaded for the other's sake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Duration, IgnoreMode, RemovalPolicy, aws_iam, aws_lambda, aws_logs
from constructs import Construct

from cdk import powers
from cdk.findings import acknowledge
from cdk.machine import ROOT
from cdk.packages import layer
from lab.aws.names import Names

CODE = ("agents", "gpu_workers", "lab")  # of the workers what describes a track, since a report is told in its words
RUNTIME = aws_lambda.Runtime.PYTHON_3_12


class Shared(Construct):
    """What the functions of a lab have in common. Raises UserError where their packages were not brought yet."""

    def __init__(self, scope: Construct, id: str, names: Names) -> None:
        super().__init__(scope, id)
        self.names = names
        self.code = aws_lambda.Code.from_asset(str(ROOT), ignore_mode=IgnoreMode.GIT, exclude=[
            "/*", *(f"!/{one}" for one in CODE), "__pycache__", "*.pyc"])
        self.packages = aws_lambda.LayerVersion(
            self, "Packages", code=aws_lambda.Code.from_asset(str(layer())), compatible_runtimes=[RUNTIME],
            compatible_architectures=[aws_lambda.Architecture.ARM_64], description="What Aether's functions import")


class Duty(Construct):
    """`handler` is the name in `agents.handlers`; `own` what it may do beside the ledger, the store and its log."""

    def __init__(self, scope: Construct, id: str, shared: Shared, handler: str, own: Sequence[aws_iam.PolicyStatement],
                 *, memory_mib: int, limit_s: int, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(scope, id)
        names, name = shared.names, handler.replace("_", "-")
        log_group = f"/aether/{names.prefix}/{name}"
        logs = aws_logs.LogGroup(self, "Logs", log_group_name=log_group, retention=aws_logs.RetentionDays.ONE_MONTH,
                                 removal_policy=RemovalPolicy.DESTROY)
        self.role = role = aws_iam.Role(self, "Role", assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
                            role_name=f"{names.prefix}-{name}-{names.region}")
        statements = (*own, *powers.of_ledger(names), *powers.of_store(names), *powers.to_log(log_group))
        for statement in statements:
            role.add_to_policy(statement)
        acknowledge(role, powers.wild(statements))
        self.function = aws_lambda.Function(
            self, "Function", function_name=f"{names.prefix}-{name}", runtime=RUNTIME, role=role, log_group=logs,
            architecture=aws_lambda.Architecture.ARM_64, handler=f"agents.handlers.{handler}", code=shared.code,
            layers=[shared.packages], memory_size=memory_mib, timeout=Duration.seconds(limit_s), retry_attempts=2,
            environment={"AETHER_PREFIX": names.prefix, "XDG_CACHE_HOME": "/tmp", **(environment or {})})
        acknowledge(self.function, {
            "L1": "The project is locked for Python 3.11 and 3.12; this is the newer of them."})

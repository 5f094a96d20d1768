"""What the CDK's own small functions say while a stack is made or goes, kept for a month like all other logs."""

from __future__ import annotations

from aws_cdk import CfnResource, RemovalPolicy, Stack, aws_logs


def keep_a_month(stack: Stack, prefix: str) -> None:
    """For the functions behind custom resources; by itself AWS would keep what they say for ever."""
    for provider in stack.node.children:
        if not provider.node.id.startswith("Custom::"):
            continue
        kind = provider.node.id.removeprefix("Custom::").removesuffix("CustomResourceProvider")
        group = aws_logs.LogGroup(
            stack, f"{kind}Logs", log_group_name=f"/aether/{prefix}/{stack.node.id.removeprefix(f'{prefix}-')}-{kind}",
            retention=aws_logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY)
        handler = provider.node.find_child("Handler")
        assert isinstance(handler, CfnResource)
        handler.add_property_override("LoggingConfig", {"LogGroup": group.log_group_name})

"""The laboratory's account: `npx cdk deploy --all -c email=… -c monthlyBudget=…`. Six stacks, each in its own file,
and with `-c bakedAmi=true` a seventh.

No look-ups: what is deployed depends on this folder and the settings alone, and can be read (`cdk synth`) without any
credentials. Each synthesis is checked by cdk-nag's AwsSolutions; what it finds is mended, or acknowledged where it
stands with the reason.
"""

from __future__ import annotations

import sys

import aws_cdk
from cdk_nag import AwsSolutionsChecks

from cdk.data import Data
from cdk.images import Images
from cdk.lab import Lab
from cdk.logs import keep_a_month
from cdk.network import Network
from cdk.reporting import Reporting
from cdk.settings import Settings, from_context
from cdk.site import Site
from cdk.workers import Workers
from lab.aws.names import Names
from lab.errors import UserError


def build(app: aws_cdk.App, settings: Settings) -> list[aws_cdk.Stack]:
    """The stacks in the order in which they lean on each other, named PREFIX-network and so on."""
    names = Names(settings.prefix, aws_cdk.Aws.ACCOUNT_ID, aws_cdk.Aws.REGION)
    network = Network(app, f"{settings.prefix}-network", settings)
    data = Data(app, f"{settings.prefix}-data", settings, names)
    lab = Lab(app, f"{settings.prefix}-lab", settings, names, network)
    workers = Workers(app, f"{settings.prefix}-workers", settings, names, network, lab)
    images = [Images(app, f"{settings.prefix}-images", settings, names, network)] if settings.baked else []
    reporting = Reporting(app, f"{settings.prefix}-reporting", settings, names, lab)
    site = Site(app, f"{settings.prefix}-site", names)
    for stack in (lab, workers, reporting):
        stack.add_stack_dependency(data)
    reporting.add_stack_dependency(site)
    for stack in images:
        workers.add_stack_dependency(stack)
    for stack in (network, data, site):
        keep_a_month(stack, settings.prefix)
    aws_cdk.Tags.of(app).add("aether:lab", settings.prefix)
    aws_cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return [network, data, lab, *images, workers, site, reporting]


def main() -> None:
    # As it is without a word, said so that no synthesis advises it: what another stack uses cannot be taken away.
    app = aws_cdk.App(context={"@aws-cdk/core:defaultCrossStackReferences": "strong"})
    try:
        build(app, from_context(app.node.get_all_context()))
    except UserError as error:
        sys.exit(f"aether: {error}")
    app.synth()

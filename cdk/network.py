"""A network that costs nothing while it idles: public subnets, no NAT gateway, gateway endpoints for S3 and DynamoDB.

Instances need addresses of their own to reach SQS, packages and Systems Manager; nothing reaches them, since their
security group lets nobody in and the VPC's default one is emptied.
"""

from __future__ import annotations

from aws_cdk import Fn, Stack, aws_ec2
from constructs import Construct

from cdk.findings import acknowledge
from cdk.settings import Settings


class Network(Stack):
    def __init__(self, scope: Construct, id: str, settings: Settings) -> None:
        super().__init__(scope, id, description="Aether: public subnets without ingress, no NAT gateway")
        self.vpc = aws_ec2.Vpc(
            self, "Vpc", nat_gateways=0, restrict_default_security_group=True,
            ip_addresses=aws_ec2.IpAddresses.cidr("10.83.0.0/16"),
            availability_zones=[Fn.select(index, Fn.get_azs()) for index in range(settings.zones)],
            subnet_configuration=[aws_ec2.SubnetConfiguration(
                name="public", subnet_type=aws_ec2.SubnetType.PUBLIC, cidr_mask=20)])
        self.vpc.add_gateway_endpoint("S3", service=aws_ec2.GatewayVpcEndpointAwsService.S3)
        self.vpc.add_gateway_endpoint("Dynamo", service=aws_ec2.GatewayVpcEndpointAwsService.DYNAMODB)
        self.closed = aws_ec2.SecurityGroup(self, "Closed", vpc=self.vpc, allow_all_outbound=True,
                                            description="Aether instances: out, and nobody in")
        acknowledge(self.vpc, {
            "VPC7": "Nothing can connect to an instance, and candidates run in boxes without a network; flow logs "
                    "would cost money and record only traffic of our own."})

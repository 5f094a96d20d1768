"""The web page: a private bucket, and the content network in front of it, which alone may read it.

The page is the latest report, put there by the reporter (`lab.aws.site`); it brings its styles and pictures with it and
has no script, so browsers are told to run and fetch nothing.
"""

from __future__ import annotations

from aws_cdk import (
    CfnOutput,
    Duration,
    RemovalPolicy,
    Stack,
    aws_cloudfront,
    aws_cloudfront_origins,
    aws_s3,
)
from constructs import Construct

from cdk.findings import acknowledge
from cdk.powers import PAGE
from lab.aws.names import Names

POLICY = ("default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
          "frame-ancestors 'none'")


class Site(Stack):
    def __init__(self, scope: Construct, id: str, names: Names) -> None:
        super().__init__(scope, id, description="Aether: the web page")
        bucket = aws_s3.Bucket(
            self, "Page", bucket_name=names.site, removal_policy=RemovalPolicy.DESTROY, auto_delete_objects=True,
            enforce_ssl=True, minimum_tls_version=1.2, encryption=aws_s3.BucketEncryption.S3_MANAGED,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED)
        acknowledge(bucket, {"S1": "It holds one page, made again every hour from the ledger; nobody but the content "
                                   "network can read it."})
        network = aws_cloudfront.Distribution(
            self, "Network", comment=f"Aether {names.prefix}", default_root_object=PAGE,
            price_class=aws_cloudfront.PriceClass.PRICE_CLASS_100, enable_ipv6=True,
            default_behavior=aws_cloudfront.BehaviorOptions(
                origin=aws_cloudfront_origins.S3BucketOrigin.with_origin_access_control(bucket),
                viewer_protocol_policy=aws_cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
                response_headers_policy=_headers(self, names), compress=True))
        acknowledge(network, {
            "CFR1": "A person looks at their own lab from wherever they are.",
            "CFR2": "One static page without a script or a form: a firewall would filter nothing, and cost $5 a month.",
            "CFR3": "One reader; a log of visits would be a second bucket to keep.",
            "CFR4": "TLS 1.2 at the least takes a certificate, which takes a domain; a lab has none of its own."})
        CfnOutput(self, "Dashboard", value=f"https://{network.distribution_domain_name}",
                  description="The latest report; the first comes within the hour")


def _headers(scope: Construct, names: Names) -> aws_cloudfront.ResponseHeadersPolicy:
    cloudfront = aws_cloudfront
    return cloudfront.ResponseHeadersPolicy(
        scope, "Headers", response_headers_policy_name=f"{names.prefix}-{names.region}-page",
        security_headers_behavior=cloudfront.ResponseSecurityHeadersBehavior(
            content_security_policy=cloudfront.ResponseHeadersContentSecurityPolicy(
                content_security_policy=POLICY, override=True),
            content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True),
            frame_options=cloudfront.ResponseHeadersFrameOptions(
                frame_option=cloudfront.HeadersFrameOption.DENY, override=True),
            referrer_policy=cloudfront.ResponseHeadersReferrerPolicy(
                referrer_policy=cloudfront.HeadersReferrerPolicy.NO_REFERRER, override=True),
            strict_transport_security=cloudfront.ResponseHeadersStrictTransportSecurity(
                access_control_max_age=Duration.days(365), include_subdomains=False, override=True)))

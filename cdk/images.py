"""Images of the fleets' own, for those that start often or may not reach a package index: the boot's own first steps,
done once (`cdk/boot/bake.sh`).

A person starts the pipelines, after the first deploy of this stack and when the requirements or the parent image should
be newer. Each writes the new image's id to a parameter, from which the next deploy of the workers takes it.
"""

from __future__ import annotations

from aws_cdk import Aws, CfnOutput, RemovalPolicy, Stack, aws_ec2, aws_iam, aws_imagebuilder, aws_logs, aws_s3_assets
from constructs import Construct

from cdk import powers
from cdk.boot import component
from cdk.findings import acknowledge
from cdk.machine import IMAGE, SET, VOLUME_GIB, code_of
from cdk.network import Network
from cdk.settings import Settings
from lab.aws.names import Names

BUILT_ON = ("m6i.xlarge", "m5.xlarge")  # also for GPUs: nothing of it needs one, and a new account may have none


def parameter(names: Names, job_class: str) -> str:
    """Image Builder's own role may write below /imagebuilder/ and nowhere else."""
    return f"/imagebuilder/{names.prefix}/{job_class}"


class Images(Stack):
    def __init__(self, scope: Construct, id: str, settings: Settings, names: Names, network: Network) -> None:
        super().__init__(scope, id, description="Aether: images of the fleets' own")
        for one in settings.baked:
            arn = Image(self, one.title(), names, one, network).pipeline.attr_arn
            CfnOutput(self, f"Bake{one.title()}",
                      value=f"aws imagebuilder start-image-pipeline-execution --image-pipeline-arn {arn}")


class Image(Construct):
    """What changes gets a new version: of the component a new build of 1.0.0, of the recipe the next 1.0.x."""

    def __init__(self, scope: Construct, id: str, names: Names, job_class: str, network: Network) -> None:
        super().__init__(scope, id)
        name, code, build = names.group(job_class), code_of(self), aws_imagebuilder
        step = build.CfnComponent(self, "Component", name=name, platform="Linux", version="1.0.0", data=component({
            "REGION": Aws.REGION, "SET": SET[job_class],
            "CODE_BUCKET": code.s3_bucket_name, "CODE_KEY": code.s3_object_key}))
        parent = aws_ec2.MachineImage.from_ssm_parameter(IMAGE[job_class]).get_image(self).image_id
        recipe = build.CfnImageRecipe
        whole = recipe(
            self, "Recipe", name=name, version="1.0.x", parent_image=parent,
            components=[recipe.ComponentConfigurationProperty(component_arn=step.attr_arn)],
            block_device_mappings=[recipe.InstanceBlockDeviceMappingProperty(
                device_name="/dev/sda1", ebs=recipe.EbsInstanceBlockDeviceSpecificationProperty(
                    volume_size=VOLUME_GIB[job_class], volume_type="gp3", encrypted=True, delete_on_termination=True))],
            additional_instance_configuration=recipe.AdditionalInstanceConfigurationProperty(
                systems_manager_agent=recipe.SystemsManagerAgentProperty(uninstall_after_build=False)))  # a shell's way
        distribution = build.CfnDistributionConfiguration
        named = distribution(self, "Named", name=name, distributions=[distribution.DistributionProperty(
            region=Aws.REGION,
            ami_distribution_configuration={  # plain JSON, which CDK passes on as its own class spells it: wrongly
                "Name": f"{name}-{{{{ imagebuilder:buildDate }}}}", "AmiTags": {"aether:lab": names.prefix}},
            ssm_parameter_configurations=[distribution.SsmParameterConfigurationProperty(
                parameter_name=parameter(names, job_class), data_type="aws:ec2:image")])])
        self.pipeline = build.CfnImagePipeline(
            self, "Pipeline", name=name, image_recipe_arn=whole.attr_arn, distribution_configuration_arn=named.attr_arn,
            infrastructure_configuration_arn=self._built_on(names, name, network, code).attr_arn,
            enhanced_image_metadata_enabled=False,
            image_tests_configuration=build.CfnImagePipeline.ImageTestsConfigurationProperty(image_tests_enabled=False))

    def _built_on(self, names: Names, name: str, network: Network, code: aws_s3_assets.Asset,
                  ) -> aws_imagebuilder.CfnInfrastructureConfiguration:
        log_group = f"/aws/imagebuilder/{name}"  # Image Builder's own choice; made here, its lines go after a month
        aws_logs.LogGroup(self, "Logs", log_group_name=log_group, retention=aws_logs.RetentionDays.ONE_MONTH,
                          removal_policy=RemovalPolicy.DESTROY)
        role = aws_iam.Role(self, "Role", assumed_by=aws_iam.ServicePrincipal("ec2.amazonaws.com"),
                            role_name=f"{name}-image-{names.region}")
        statements = [*powers.to_be_reached(), *powers.to_be_baked(log_group, name), *powers.to_log(log_group),
                      *powers.to_fetch(code.s3_bucket_name, code.s3_object_key)]
        for statement in statements:
            role.add_to_policy(statement)
        acknowledge(role, powers.wild(statements))
        profile = aws_iam.InstanceProfile(self, "Profile", role=role)
        infrastructure = aws_imagebuilder.CfnInfrastructureConfiguration
        return infrastructure(
            self, "BuiltOn", name=name, instance_profile_name=profile.instance_profile_name,
            instance_types=list(BUILT_ON), subnet_id=network.vpc.public_subnets[0].subnet_id,
            security_group_ids=[network.closed.security_group_id], terminate_instance_on_failure=True,
            instance_metadata_options=infrastructure.InstanceMetadataOptionsProperty(
                http_tokens="required", http_put_response_hop_limit=1),
            resource_tags={"aether:lab": names.prefix})

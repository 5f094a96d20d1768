"""Images of the fleets' own: what Image Builder is told. It never ran; what its build runs does, in test_bake.py."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cdk.boot import COMPONENT_CHARACTERS
from lab.aws.rentable import TYPES
from tests.cdk.test_templates import lint, resources

pytestmark = pytest.mark.ci
Templates = dict[str, Any]
CLASSES = ("cpu", "gpu")


def of_class(templates: Templates, kind: str) -> dict[str, Any]:
    """The resource of each job class."""
    found = {name[:3].lower(): one["Properties"] for name, one in templates["images"]["Resources"].items()
             if one["Type"] == f"AWS::ImageBuilder::{kind}"}
    assert set(found) == set(CLASSES)
    return found


def test_no_image_is_built_unless_the_deploy_says_so(templates: Templates) -> None:
    assert "images" not in templates
    assert "ImageBuilder" not in json.dumps(templates)
    assert "imagebuilder" not in json.dumps(templates)


def test_the_fleets_start_from_the_image_that_the_pipeline_names(templates_of_all: Templates) -> None:
    for job_class, named in of_class(templates_of_all, "DistributionConfiguration").items():
        [there] = named["Distributions"]
        assert there["SsmParameterConfigurations"] == [
            {"DataType": "aws:ec2:image", "ParameterName": f"/imagebuilder/aether/{job_class}"}]
        assert there["AmiDistributionConfiguration"]["Name"] == f"aether-{job_class}-{{{{ imagebuilder:buildDate }}}}"
    workers = templates_of_all["workers"]
    told = {one["Properties"]["LaunchTemplateName"][7:]: one["Properties"]["LaunchTemplateData"]["ImageId"]["Ref"]
            for one in workers["Resources"].values() if one["Type"] == "AWS::EC2::LaunchTemplate"}
    assert {name: workers["Parameters"][of]["Default"] for name, of in told.items()} == {
        job_class: f"/imagebuilder/aether/{job_class}" for job_class in CLASSES}
    assert "imagebuilder" not in json.dumps(templates_of_all["lab"]), "the orchestrator starts once"


def test_an_image_stands_on_what_the_fleet_stood_on_and_its_disk_fits(
        templates: Templates, templates_of_all: Templates) -> None:
    for job_class, recipe in of_class(templates_of_all, "ImageRecipe").items():
        [plain] = [one["Properties"]["LaunchTemplateData"] for one in resources(
            {"workers": templates["workers"]}, "AWS::EC2::LaunchTemplate")
            if one["Properties"]["LaunchTemplateName"] == f"aether-{job_class}"]
        parent = templates["workers"]["Parameters"][plain["ImageId"]["Ref"]]["Default"]
        assert templates_of_all["images"]["Parameters"][recipe["ParentImage"]["Ref"]]["Default"] == parent
        [disk], [launched] = recipe["BlockDeviceMappings"], plain["BlockDeviceMappings"]
        assert disk["DeviceName"] == launched["DeviceName"]
        assert disk["Ebs"]["VolumeSize"] <= launched["Ebs"]["VolumeSize"]
        assert disk["Ebs"]["Encrypted"] is True
        assert recipe["Version"] == "1.0.x", "a fixed one could not be deployed twice"


def test_a_build_is_closed_bounded_and_a_persons_to_start(templates_of_all: Templates) -> None:
    for on in of_class(templates_of_all, "InfrastructureConfiguration").values():
        assert on["InstanceMetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
        assert on["TerminateInstanceOnFailure"] is True
        assert on["ResourceTags"] == {"aether:lab": "aether"}, "the house pays it as one of its machines"
        assert set(on["InstanceTypes"]) <= set(TYPES["cpu"]), "what has no price is not to run"
        assert "KeyPair" not in on
    for pipeline in of_class(templates_of_all, "ImagePipeline").values():
        assert "Schedule" not in pipeline
    outputs = templates_of_all["images"]["Outputs"]
    assert {"BakeCpu", "BakeGpu"} <= set(outputs)
    assert json.dumps(outputs["BakeCpu"]["Value"]).count("start-image-pipeline-execution") == 1


def test_a_build_may_do_nothing_to_the_lab(templates_of_all: Templates) -> None:
    for policy in resources({"images": templates_of_all["images"]}, "AWS::IAM::Policy"):
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert not [one for one in actions if "*" in one or "GetParameter" in one]
            services = {one.split(":")[0] for one in actions}
            if statement["Resource"] == "*":
                assert services <= {"ssm", "ssmmessages", "ec2messages"}
            else:
                assert services <= {"imagebuilder", "logs", "s3"}
                if services == {"s3"}:
                    assert actions == ["s3:GetObject"]
                    where = json.dumps(statement["Resource"])
                    assert ":s3:::ec2imagebuilder*" in where or re.search(r"cdk-.*/[0-9a-f]{64}\.zip", where)


def test_what_image_builder_is_told_is_a_document_that_it_takes(templates_of_all: Templates, tmp_path: Path) -> None:
    for job_class, told in of_class(templates_of_all, "Component").items():
        text = "".join(one if isinstance(one, str) else "r" * 30 for one in told["Data"]["Fn::Join"][1])
        assert len(text) < COMPONENT_CHARACTERS
        assert "{{" not in text, "which it would read as a word of its own"
        [phase] = yaml.safe_load(text)["phases"]
        [step] = phase["steps"]
        [script] = step["inputs"]["commands"]
        assert (phase["name"], step["action"]) == ("build", "ExecuteBash")
        assert f"readonly SET={'learned' if job_class == 'gpu' else 'core'}\n" in script
        (tmp_path / "bake.sh").write_text(script)
        subprocess.run(["bash", "-n", str(tmp_path / "bake.sh")], check=True)
        checker = Path(sys.executable).parent / "shellcheck"
        found = subprocess.run([str(checker), "--exclude=SC2034", str(tmp_path / "bake.sh")], capture_output=True,
                               text=True)
        assert found.stdout == ""


def test_cfn_lint_finds_nothing_in_what_a_deploy_may_ask_for(assembly_of_all: Path) -> None:
    assert lint(assembly_of_all) == []

"""Runs ministack 1.5.33 with what it lacks: budgets, alarms on metric math, Ubuntu's images, the tags of buckets.

Without the first three a stack is refused; without the tags the bucket of a disposable lab cannot be emptied. Functions
run on this machine's own Python, so their layer, whose packages are for another machine, is left out and the packages
of this environment serve. Protected instances of a group stay when it is made smaller, and go by their id alone. All
use that version's internals: where this fails, the emulator changed, not the product.
"""

from __future__ import annotations

import contextlib
from typing import Any

from ministack.app import main
from ministack.core import iam_actions
from ministack.services import autoscaling, budgets, lambda_svc, s3, ssm
from ministack.services.cloudformation import provisioners

IMAGES = ("/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
          "/aws/service/canonical/ubuntu/server/24.04/stable/current/arm64/hvm/ebs-gp3/ami-id",
          "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id")
HANDLERS: dict[str, dict[str, Any]] = provisioners._RESOURCE_HANDLERS


def install() -> None:
    ssm._PUBLIC_AMI_PARAMETERS.update(dict.fromkeys(IMAGES, "ami-0c2023a1b2c3d4e5f"))
    HANDLERS.setdefault("AWS::Budgets::Budget", {"create": _made, "update": _changed, "delete": _gone})
    bucket = HANDLERS["AWS::S3::Bucket"]
    made = bucket["create"]

    def tagged(logical_id: str, props: Any, stack: str) -> Any:
        name, attributes = made(logical_id, props, stack)
        s3._bucket_tags[name] = {tag["Key"]: tag["Value"] for tag in props.get("Tags", ())}
        return name, attributes

    bucket["create"] = tagged
    lambda_svc._resolve_layer_zip = lambda attachment: None
    autoscaling._reconcile_instances = _spared(autoscaling._reconcile_instances)
    autoscaling._ACTION_MAP["TerminateInstanceInAutoScalingGroup"] = _end
    iam_actions.extract_resource_arn = _by_group(iam_actions.extract_resource_arn)
    alarm = HANDLERS["AWS::CloudWatch::Alarm"]
    plain = alarm["create"]
    alarm["create"] = lambda logical_id, props, stack: plain(logical_id, _without_math(props), stack)


def _without_math(props: Any) -> Any:
    """Of an alarm on metric math the first metric that it computes with."""
    if "Metrics" not in props:
        return props
    stat = next(one["MetricStat"] for one in props["Metrics"] if "MetricStat" in one)
    return {**{key: value for key, value in props.items() if key != "Metrics"}, "Statistic": stat["Stat"],
            "Period": stat["Period"], "MetricName": stat["Metric"]["MetricName"],
            "Namespace": stat["Metric"]["Namespace"], "Dimensions": stat["Metric"].get("Dimensions", [])}


def _spared(resize: Any) -> Any:
    def resized(group: Any) -> None:
        wanted = group["DesiredCapacity"]
        protected = sum(bool(one["ProtectedFromScaleIn"]) for one in group["Instances"])
        group["Instances"].sort(key=lambda one: not one["ProtectedFromScaleIn"])
        resize(group | {"DesiredCapacity": max(wanted, protected)})
    return resized


def _end(asked: Any) -> Any:
    group = _group_of(asked["InstanceId"])
    if group is None:
        return autoscaling._error("ValidationError", "Instance Id not found")
    group["Instances"][:] = [one for one in group["Instances"] if one["InstanceId"] != asked["InstanceId"]]
    group["DesiredCapacity"] -= asked["ShouldDecrementDesiredCapacity"] == "true"
    autoscaling._reconcile_instances(group)
    return autoscaling._xml(200, "TerminateInstanceInAutoScalingGroupResponse",
                            "<TerminateInstanceInAutoScalingGroupResult/>")


def _group_of(instance: str) -> Any:
    return next((group for group in autoscaling._asgs.values()
                 if instance in [one["InstanceId"] for one in group["Instances"]]), None)


def _by_group(resource_of: Any) -> Any:
    """What is asked of an instance of a group is asked of the group."""
    def found(service: str, method: str, path: str, headers: Any, body: Any, asked: Any, *where: str) -> Any:
        if service == "autoscaling" and "InstanceId" in asked and "AutoScalingGroupName" not in asked:
            id = asked["InstanceId"]
            group = _group_of(id[0] if isinstance(id, list) else id)
            asked = {**asked, "AutoScalingGroupName": group["AutoScalingGroupName"]} if group else asked
        return resource_of(service, method, path, headers, body, asked, *where)
    return found


def _made(logical_id: str, props: Any, stack: str) -> tuple[str, dict[str, Any]]:
    _call(budgets._create_budget, {"Budget": _budget(props), "ResourceTags": [],
                                   "NotificationsWithSubscribers": props.get("NotificationsWithSubscribers", [])})
    return props["Budget"]["BudgetName"], {}


def _changed(name: str, old: Any, new: Any, stack: str) -> tuple[str, dict[str, Any]]:
    """Whom a budget tells cannot be changed: another is made before this one goes, which is refused under its name."""
    told = "NotificationsWithSubscribers"
    if (name, old[told]) != (new["Budget"]["BudgetName"], new[told]):
        return _made("", new, stack)
    _call(budgets._update_budget, {"NewBudget": _budget(new)})
    return name, {}


def _budget(props: Any) -> Any:
    limit = props["Budget"]["BudgetLimit"]
    return {**props["Budget"], "BudgetLimit": {**limit, "Amount": str(limit["Amount"])}}


def _gone(name: str, _props: Any) -> None:
    with contextlib.suppress(ValueError):
        _call(budgets._delete_budget, {"BudgetName": name})


def _call(function: Any, data: Any) -> None:
    status, _, body = function(data)
    if status >= 300:
        raise ValueError(body)


if __name__ == "__main__":
    install()
    main()

"""Reserved capacity and the nodes of UltraServers."""

from __future__ import annotations

from typing import Any

from components.capacity.window import moment
from components.spec import moment_of
from recording.aws_types.asking import by_tags
from recording.aws_types.call import Call
from recording.aws_types.card import EXISTS, SAME, Asker, Candidate, Card, Told, replaced
from recording.world import Inputs, Made, NoAnswer, World, digest


def _template(inputs: Inputs) -> Inputs:
    """A launch template as the call has it: what instances get is one document."""
    own = ("name", "description", "tags", "updateDefaultVersion", "region")
    data = {key: value for key, value in inputs.items() if key not in own}
    data["networkInterfaces"] = [
        {("groups" if key == "securityGroups" else key): value for key, value in item.items()}
        for item in data.get("networkInterfaces", ())
    ]
    return {**{key: value for key, value in inputs.items() if key in own}, "launchTemplateData": data}


def _get_capacity_block_reservation(world: World, arguments: Inputs) -> dict[str, Any]:
    id_ = str(arguments.get("id"))
    known = world.reservations.get(id_)
    if known is None:
        raise NoAnswer(f"reservation {id_} is not known here")
    world.assume(f"Capacity Block {id_} is as the stack file says; EC2 was not asked")
    return {
        "id": id_,
        "arn": world.arn("ec2", f"capacity-reservation/{id_}"),
        "state": known.get("state", "scheduled"),
        "instanceType": known.get("instanceType"),
        "availabilityZoneId": known.get("zone"),
        "instanceCount": known.get("count"),
        "startDate": _as_told(known.get("start")),
        "endDate": _as_told(known.get("end")),
        "reservationType": "capacity-block",
        "instancePlatform": known.get("platform", "Linux/UNIX"),
        "capacityBlockId": f"cb-0{digest(id_, length=16)}",
    }


def _new_capacity_reservation(world: World, name: str, inputs: Inputs) -> Made:
    id_ = world.id("cr", name)
    return id_, {"arn": world.arn("ec2", f"capacity-reservation/{id_}"), "ownerId": world.account}


def _new_launch_template(world: World, name: str, inputs: Inputs) -> Made:
    id_ = world.id("lt", name)
    return id_, {
        "arn": world.arn("ec2", f"launch-template/{id_}"),
        "name": inputs.get("name") or f"{name}-{digest(world.stack, name, length=7)}",
        "latestVersion": 1,
        "defaultVersion": 1,
    }


def _find_launch_template(asker: Asker, inputs: Inputs) -> list[Candidate]:
    where = [{"Name": "launch-template-name", "Values": [inputs["name"]]}]
    found = asker.every("ec2", "describe_launch_templates", "LaunchTemplates", Filters=where)
    return [Candidate(item["LaunchTemplateId"]) for item in found]


def _new_schedule(world: World, name: str, inputs: Inputs) -> Made:
    action = str(inputs.get("scheduledActionName"))
    group = inputs.get("autoscalingGroupName")
    return action, {"arn": world.arn("autoscaling", f"scheduledUpdateGroupAction:{digest(name)}:{group}:{action}")}


def _find_schedule(asker: Asker, inputs: Inputs) -> list[Candidate]:
    found = asker.every(
        "autoscaling",
        "describe_scheduled_actions",
        "ScheduledUpdateGroupActions",
        AutoScalingGroupName=inputs["autoscalingGroupName"],
        ScheduledActionNames=[inputs["scheduledActionName"]],
    )
    return [Candidate(item["ScheduledActionName"], told=str(item.get("StartTime", ""))) for item in found]


def _as_told(value: Any) -> Any:
    """A stack file's moment as EC2 tells it; whatever a test says instead, as it is."""
    try:
        return moment(moment_of(value))
    except ValueError:
        return value


CARDS = (
    Card(
        type="aws:ec2/capacityReservation:CapacityReservation",
        call=Call("ec2", "CreateCapacityReservation"),
        created=_new_capacity_reservation,
        told=Told(),
        ask=by_tags("describe_capacity_reservations", "CapacityReservations", "CapacityReservationId"),
        # Count and end can be changed.
        replaced=replaced(
            "ec2/ec2_capacity_reservation.go",
            "availabilityZone",
            "ebsOptimized",
            "ephemeralStorage",
            "instanceMatchCriteria",
            "instancePlatform",
            "instanceType",
            "tenancy",
        ),
        actions=(
            "ec2:CreateCapacityReservation",
            "ec2:DescribeCapacityReservations",
            "ec2:ModifyCapacityReservation",
            "ec2:CancelCapacityReservation",
            "ec2:CreateTags",
        ),
    ),
    Card(
        type="aws:ec2/launchTemplate:LaunchTemplate",
        call=Call(
            "ec2",
            "CreateLaunchTemplate",
            {"name": "LaunchTemplateName", "description": "VersionDescription"},
            sent=_template,
            elsewhere={"updateDefaultVersion": "ModifyLaunchTemplate"},
        ),
        created=_new_launch_template,
        told=Told(("name",), second=EXISTS),
        ask=_find_launch_template,
        # Everything else makes another version of the template.
        replaced=replaced("ec2/ec2_launch_template.go", "name", "namePrefix", named="name"),
        actions=(
            "ec2:CreateLaunchTemplate",
            "ec2:CreateLaunchTemplateVersion",
            "ec2:ModifyLaunchTemplate",
            "ec2:DescribeLaunchTemplates",
            "ec2:DescribeLaunchTemplateVersions",
            "ec2:DeleteLaunchTemplate",
            "ec2:RunInstances",
            "ec2:CreateTags",
        ),
    ),
    Card(
        type="aws:autoscaling/schedule:Schedule",
        call=Call("autoscaling", "PutScheduledUpdateGroupAction"),
        created=_new_schedule,
        told=Told(("autoscalingGroupName", "scheduledActionName"), second=SAME),
        ask=_find_schedule,
        replaced=replaced("autoscaling/schedule.go", "autoscalingGroupName", "scheduledActionName"),
        actions=(
            "autoscaling:PutScheduledUpdateGroupAction",
            "autoscaling:DescribeScheduledActions",
            "autoscaling:DeleteScheduledAction",
        ),
    ),
)

READS = {
    "aws:ec2/getCapacityBlockReservation:getCapacityBlockReservation": _get_capacity_block_reservation,
}
"""Answers to the program's questions, by token."""

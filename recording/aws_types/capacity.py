"""Reserved capacity and the nodes of UltraServers."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from components.capacity.window import moment
from components.spec import moment_of
from recording.aws_types.asking import by_tags
from recording.aws_types.call import Call
from recording.aws_types.card import EXISTS, SAME, Asker, Candidate, Card, Told, replaced
from recording.aws_types.charge import Charge
from recording.aws_types.refusing import Edit, Refusal
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


def _past(edit: Edit, path: str) -> bool:
    """Whether a moment changes, and to one that is over."""
    try:
        after = datetime.fromisoformat(str(edit.of(path)[1]))
    except ValueError:
        return False
    return edit.changes(path) and after.tzinfo is not None and after <= edit.at


def _leap(edit: Edit) -> bool:
    before, after = edit.of("instanceCount")
    return isinstance(before, int | float) and isinstance(after, int | float) and abs(after - before) > 1000


def _reserved(inputs: Inputs, day: date) -> float:
    """Machines of a reservation: billed as if they ran, used or not (EC2 User Guide, Capacity Reservation pricing)."""
    count = inputs.get("instanceCount")
    return count if isinstance(count, int) else 0


CARDS = (
    Card(
        type="aws:ec2/capacityReservation:CapacityReservation",
        duration="aws-call",
        charges=(Charge("ec2", _reserved),),
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
        refuses=(
            Refusal(
                id="reservation-leaps",
                property="instanceCount",
                refused=_leap,
                words="The number of instances can't be increased or decreased by more than 1000 in a single request",
                instead="change `count` in steps of at most 1000, with a `make up` for each",
                source="botocore 1.44.8, EC2 ModifyCapacityReservation.InstanceCount",
            ),
            Refusal(
                id="reservation-ends-in-the-past",
                property="endDate",
                refused=lambda edit: _past(edit, "endDate"),
                words="The Capacity Reservation expires when it reaches its end date and time; {after} is over",
                instead="give a moment to come, or take the reservation out of the file to cancel it",
                source="botocore 1.44.8, EC2 ModifyCapacityReservation.EndDate",
            ),
            Refusal(
                id="reservation-without-end",
                property="endDate",
                refused=lambda edit: (
                    edit.after.get("endDateType") == "limited"
                    and not edit.after.get("endDate")
                    and (edit.changes("endDate") or edit.changes("endDateType"))
                ),
                words="You must provide an EndDate value if EndDateType is limited",
                instead="give the moment at which it ends, or let it be unlimited",
                source="botocore 1.44.8, EC2 ModifyCapacityReservation.EndDate",
            ),
        ),
        changes={
            "instanceCount": "ModifyCapacityReservation",
            "endDate": "ModifyCapacityReservation",
            "endDateType": "ModifyCapacityReservation",
        },
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
        duration="aws-call",
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
        changes={
            "updateDefaultVersion": "ModifyLaunchTemplate",
            **dict.fromkeys(
                (
                    "blockDeviceMappings",
                    "capacityReservationSpecification",
                    "description",
                    "instanceMarketOptions",
                    "instanceType",
                    "metadataOptions",
                    "networkInterfaces",
                    "tagSpecifications",
                    "userData",
                ),
                "CreateLaunchTemplateVersion",
            ),
        },
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
        duration="aws-call",
        call=Call("autoscaling", "PutScheduledUpdateGroupAction"),
        created=_new_schedule,
        told=Told(("autoscalingGroupName", "scheduledActionName"), second=SAME),
        ask=_find_schedule,
        replaced=replaced("autoscaling/schedule.go", "autoscalingGroupName", "scheduledActionName"),
        refuses=(
            Refusal(
                id="schedule-in-the-past",
                property="startTime",
                refused=lambda edit: _past(edit, "startTime"),
                words="Given start time is in the past",
                instead="give `end` and `drainMinutes` with which the drain is still to come",
                source="hashicorp/terraform-provider-aws #3033; pulumi/pulumi-aws #2473",
            ),
        ),
        changes=dict.fromkeys(
            ("desiredCapacity", "maxSize", "minSize", "startTime", "timeZone"), "PutScheduledUpdateGroupAction"
        ),
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

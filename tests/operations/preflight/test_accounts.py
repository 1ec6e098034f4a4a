"""Accounts that lack something, each with the line that says so and what to do; and one that lacks nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from operations.preflight import quotas
from operations.preflight.lines import exit_code
from stacks.stackfile import ROOT
from tests.operations.preflight.account import ACCOUNT, AT, Account, Denied, Fault, good, lines, wrong
from tests.stacks.edited import ABSENT

OTHER = "210987654321"
ADMINS = {"cluster.admins": [f"arn:aws:iam::{ACCOUNT}:role/platform"]}
PINNED = {"account": ACCOUNT}
P5 = {
    "aws:region": "us-west-2",
    "network.zones": ["usw2-az1", "usw2-az2", "usw2-az3"],
    "capacity.pools.gpu": {
        "families": ["p5"], "capacity": ["reserved"],
        "reservations": [{"id": "cr-0a1b2c3d4e5f60718", "kind": "capacityBlock", "instanceType": "p5.48xlarge", "zone": "usw2-az2",
                          "count": 2, "start": "2026-12-01T11:30:00Z", "end": "2026-12-15T11:30:00Z"}],
    },
    "graphs.chat.worker": {"gpus": 8, "tensorParallel": 8},
    "graphs.chat.placement": {"pool": "gpu", "instanceType": "p5.48xlarge", "reservedOnly": True},
}  # fmt: skip
TAGGED = {
    **P5,
    "capacity.pools.gpu": {
        "families": ["p5"], "capacity": ["reserved"],
        "reservations": [{"tags": {"pool": "gpu"}, "kind": "onDemand", "instanceType": "p5.48xlarge", "zone": "usw2-az2", "count": 2}],
    },
}  # fmt: skip
TAGGED_BLOCK = {
    **P5,
    "capacity.pools.gpu": {
        "families": ["p5"], "capacity": ["reserved"],
        "reservations": [{
            "tags": {"pool": "gpu"}, "kind": "capacityBlock", "instanceType": "p5.48xlarge", "zone": "usw2-az2", "count": 2,
            "start": "2026-12-01T11:30:00Z", "end": "2026-12-15T11:30:00Z",
        }],
    },
}  # fmt: skip
SUBNETS = {
    "network": {
        "existing": {
            "vpcId": "vpc-0123456789abcdef0",
            "subnets": {
                "use1-az1": {"private": "subnet-0123456789abcdef0", "public": "subnet-0123456789abcdef1"},
                "use1-az2": {"private": "subnet-0123456789abcdef2"},
            },
        }
    }
}
SPOT = {"capacity.pools.gpu.capacity": ["spot", "on-demand"]}
MANY = {"capacity.pools.gpu.capacity": ["on-demand"], "graphs.chat.worker": {"replicas": 3, "gpus": 1}}
STANDARD, G, G_SPOT = quotas.ON_DEMAND["Standard"].code, quotas.ON_DEMAND["G"].code, quotas.SPOT["G"].code


def _zone(zone_id: str, **changes: Any) -> Fault:
    def change(account: Account) -> None:
        next(item for item in account.zones if item["ZoneId"] == zone_id).update(changes)

    return change


def _without(zone_id: str) -> Fault:
    return lambda account: account.zones.remove(next(item for item in account.zones if item["ZoneId"] == zone_id))


def _reserved(**changes: Any) -> Fault:
    return lambda account: account.reservations[0].update(changes)


def _quota(code: str, value: float) -> Fault:
    return lambda account: account.quotas.update({code: value})


def _there(key: str, *items: Any) -> Fault:
    return lambda account: account.there.update({key: list(items)})


def _sold(type_: str, *zones: str) -> Fault:
    return lambda account: account.sold.update({type_: set(zones)})


def _subnet(position: int, **changes: Any) -> Fault:
    return lambda account: account.subnets[position].update(changes)


def _decided(action: str, decision: str, **more: Any) -> Fault:
    return lambda account: account.decisions.update({action: {"EvalDecision": decision, **more}})


def _set(name: str, value: Any) -> Fault:
    return lambda account: setattr(account, name, value)


def _web(url: str, status: Any) -> Fault:
    return lambda account: account.web.update({url: status})


def _model(**how: Any) -> Fault:
    return lambda account: account.model(account.needs.models[0].repository, account.needs.models[0].revision, **how)


def _all_types(*zones: str) -> Fault:
    return lambda account: account.sold.update({type_: set(zones) for type_ in account.sold})


VLLM = "https://nvcr.io/v2/nvidia/ai-dynamo/vllm-runtime/manifests/1.5.0-efa"
PYTHON = "https://registry-1.docker.io/v2/library/python/manifests/3.12.11-slim-bookworm"
NGC = "https://helm.ngc.nvidia.com/nvidia/ai-dynamo"
KAI = "https://ghcr.io/v2/kai-scheduler/kai-scheduler/kai-scheduler/manifests/v0.17.0"
MPI = "https://raw.githubusercontent.com/kubeflow/mpi-operator/v0.8.0/deploy/v2beta1/mpi-operator.yaml"

Row = tuple[str, str, Mapping[str, Any], Fault, list[tuple[str, str, str]]]

FAULTY: list[Row] = [
    # name, stack, its changes, what is wrong with the account, lines that fail: check, answered, what to do
    ("another account", "ordinary", PINNED, _set("arn", DEPLOYS := f"arn:aws:sts::{OTHER}:assumed-role/deploy/me"),
     [("account", OTHER, "aws:profile, or AWS_PROFILE"), ("account", f"these credentials are of {OTHER}", "ask again")]),
    ("the deployer is an admin", "ordinary", {"cluster.admins": [f"arn:aws:iam::{ACCOUNT}:role/deploy"]},
     lambda account: account.principals.update(deploy=f"arn:aws:iam::{ACCOUNT}:role/deploy"),
     [("admins", f"arn:aws:iam::{ACCOUNT}:role/deploy deploys", "remove it from cluster.admins")]),
    ("the deployer is an admin by its path", "ordinary", {"cluster.admins": [f"arn:aws:iam::{ACCOUNT}:role/team/deploy"]},
     lambda account: None, [("admins", "role/team/deploy deploys", "409 ResourceInUse")]),
    ("the deployer is an admin as a user", "ordinary", {"cluster.admins": [f"arn:aws:iam::{ACCOUNT}:user/me"]},
     _set("arn", f"arn:aws:iam::{ACCOUNT}:user/me"), [("admins", "user/me deploys", "remove it from cluster.admins")]),
    ("an admin that is not there", "ordinary", ADMINS, lambda account: account.principals.pop("platform"),
     [("admins", "no such role or user", "make the role first")]),
    ("an admin under another path", "ordinary", ADMINS,
     lambda account: account.principals.update(platform=f"arn:aws:iam::{ACCOUNT}:role/a/platform"),
     [("admins", "role/a/platform", f"write arn:aws:iam::{ACCOUNT}:role/a/platform")]),
    ("a region that is not enabled", "ordinary", {}, _set("region", "not-opted-in"),
     [("region", "not-opted-in", "aws account enable-region --region-name us-east-1")]),
    ("a region that AWS does not know", "ordinary", {}, _set("region", ""), [("region", "no such region", "correct aws:region")]),
    ("a constrained zone", "ordinary", {}, _zone("use1-az2", State="constrained"),
     [("zones", "us-east-1b, constrained", "name another zone in network.zones")]),
    ("an impaired zone", "ordinary", {}, _zone("use1-az2", State="impaired", Messages=[{"Message": "power"}]),
     [("zones", "us-east-1b, impaired, power", "until AWS has mended it")][:0] or [("zones", "impaired, power", "wait until AWS has mended")]),
    ("an unavailable zone", "ordinary", {}, _zone("use1-az2", State="unavailable"), [("zones", "unavailable", "wait")]),
    ("a zone that the account lacks", "gb200", {}, _without("use1-az5"), [("zones", "use1-az5 is no zone of this region and account", "network.zones")]),
    ("fewer zones than asked for", "ordinary", {"network.zones": 4}, lambda account: [_without(f"use1-az{n}")(account) for n in (4, 5)],
     [("zones", "4 asked for, expected at most 3", "correct network.zones"), ("offerings", "the network's zones are not known", "")]),
    ("a reservation's zone that the account lacks", "ordinary", P5, _without("usw2-az2"),
     [("zones", "usw2-az2 is no zone", "network.zones"), ("zones", "no such zone in us-west-2", "name zones that it has")]),
    ("a Local Zone that is not opted in", "gb200", {"network.localZones": ABSENT}, _zone("use1-dfw2-az1", OptInStatus="not-opted-in"),
     [("zones", "not opted in", "--group-name us-east-1-dfw-2 --opt-in-status opted-in")]),
    ("a Local Zone that is not there", "gb200", {}, _without("use1-dfw2-az1"), [("zones", "no such zone in us-east-1", "name zones that it has")]),
    ("no quota of G", "ordinary", {}, _quota(G, 0),
     [("quotas", "on-demand 0", f"--service-code ec2 --quota-code {G} --desired-value 8")]),
    ("a quota of G that is too small", "ordinary", MANY, _quota(G, 23), [("quotas", "on-demand 23", "--desired-value 24")]),
    ("no quota of G, spot or not", "ordinary", SPOT, lambda account: account.quotas.update({G: 0, G_SPOT: 4}),
     [("quotas", "on-demand 0, spot 4", "--desired-value 8")]),
    ("the quota of a new account for system nodes", "ordinary", {}, _quota(STANDARD, 5), [("quotas", "on-demand 5", f"--quota-code {STANDARD}")]),
    ("no quota of P for a reservation to make", "ordinary",
     {**P5, "capacity.pools.gpu": {"families": ["p5"], "capacity": ["reserved"], "reservations": [
         {"create": True, "kind": "onDemand", "instanceType": "p5.48xlarge", "zone": "usw2-az2", "count": 2}]}},
     _quota(quotas.ON_DEMAND["P"].code, 192), [("quotas", "on-demand 192", "--desired-value 384")]),
    ("a default quota alone", "ordinary", {}, lambda account: (account.quotas.pop(G), account.defaults.update({G: 0})),
     [("quotas", "on-demand 0", f"--quota-code {G}")]),
    ("no VPC is left", "ordinary", {}, _there("Vpcs", *({"VpcId": f"vpc-{n}"} for n in range(5))),
     [("quotas", "5 of 5 used", f"--service-code vpc --quota-code {quotas.VPCS.code} --desired-value 6")]),
    ("no address is left", "ordinary", {}, _there("Addresses", *({"AllocationId": f"e-{n}"} for n in range(3))),
     [("quotas", "3 of 5 used", f"--quota-code {quotas.ADDRESSES.code} --desired-value 6")]),
    ("no internet gateway is left", "ordinary", {}, _there("InternetGateways", *({"InternetGatewayId": f"i-{n}"} for n in range(5))),
     [("quotas", "5 of 5 used", quotas.INTERNET_GATEWAYS.code)]),
    ("a zone full of NAT gateways", "ordinary", {}, _there("NatGateways", *({"NatGatewayId": f"n-{n}", "State": "available", "SubnetId": "s"} for n in range(5))),
     [("quotas", "5 of 5 used", quotas.NAT_GATEWAYS.code)]),
    ("too many gateway endpoints", "ordinary", {}, _there("VpcEndpoints", *({"VpcEndpointId": f"v-{n}", "VpcEndpointType": "Gateway"} for n in range(5))),
     [("quotas", "5 of 5 used", quotas.GATEWAY_ENDPOINTS.code)]),
    ("too few interface endpoints in a VPC", "ordinary", {"network.interfaceEndpoints": ["ecr.api", "sts"]}, _quota(quotas.INTERFACE_ENDPOINTS.code, 1),
     [("quotas", "1", quotas.INTERFACE_ENDPOINTS.code)]),
    ("too many clusters", "ordinary", {}, _there("clusters", *(f"c{n}" for n in range(5))), [("quotas", "5 of 5 used", quotas.CLUSTERS.code)]),
    ("too many file systems", "ordinary", {}, lambda account: account.quotas.update({quotas.FILE_SYSTEMS.code: 0}),
     [("quotas", "0 of 0 used", quotas.FILE_SYSTEMS.code)]),
    ("a type that is sold in other zones", "ordinary", {}, _sold("g6e.2xlarge", "use1-az6"),
     [("offerings", "sold in use1-az6 alone", "have one of those zones")]),
    ("a type that is sold nowhere", "ordinary", {}, _sold("g6e.2xlarge"), [("offerings", "sold in no zone of the region", "another instance type")]),
    ("a type that is not sold where the graph is pinned", "ordinary", {"network.zones": ["use1-az1", "use1-az2"], "graphs.chat.placement.zone": "use1-az1"},
     _sold("g6e.2xlarge", "use1-az2"), [("offerings", "sold in use1-az2 alone", "have one of those zones")]),
    ("a family that is not sold in any zone of its pool", "ordinary", {}, _all_types("use1-az6"),
     [("offerings", "sold in use1-az6 alone", ""), ("offerings", "none of g6e.xlarge", "name zones that sell them")]),
    ("a reservation that is not there", "ordinary", P5, lambda account: account.reservations.clear(),
     [("reservations", "this account has none in this region", "correct capacity.pools.gpu.reservations[0]")]),
    ("a reservation that has ended", "ordinary", P5, _reserved(State="expired"), [("reservations", "is expired", "name another reservation")]),
    ("a block whose payment failed", "ordinary", P5, _reserved(State="payment-failed"), [("reservations", "is payment-failed", "name another")]),
    ("a reservation of another type", "ordinary", P5, _reserved(InstanceType="p5.4xlarge"),
     [("reservations", "holds p5.4xlarge, the stack says p5.48xlarge", "correct capacity.pools.gpu.reservations[0].instanceType")]),
    ("a reservation in another zone", "ordinary", P5, _reserved(AvailabilityZoneId="usw2-az1"), [("reservations", "is in usw2-az1", "zone")]),
    ("a reservation of fewer machines", "ordinary", P5, _reserved(TotalInstanceCount=1), [("reservations", "holds 1 instances, the stack says 2", "count")]),
    ("a block that starts later", "ordinary", P5, lambda account: _reserved(StartDate=account.reservations[0]["StartDate"] + timedelta(days=1))(account),
     [("reservations", "starts 2026-12-02", "start")]),
    ("a block that ends earlier", "ordinary", P5, lambda account: _reserved(EndDate=account.reservations[0]["EndDate"] - timedelta(days=1))(account),
     [("reservations", "ends 2026-12-14", "end")]),
    ("a block that is over", "ordinary", P5, lambda account: _reserved(EndDate=AT)(account),
     [("reservations", "ends 2026-12-02", "end"), ("reservations", "ended 2026-12-02T12:00:00Z", "name another reservation")]),
    ("a reservation of the other kind", "ordinary", P5, _reserved(ReservationType="default"),
     [("reservations", "is of the kind default", "correct capacity.pools.gpu.reservations[0].kind")]),
    ("a reservation for Windows", "ordinary", P5, _reserved(InstancePlatform="Windows"), [("reservations", "is for Windows", "name another reservation")]),
    ("a reservation that others use up", "ordinary", {**TAGGED, "capacity.pools.gpu.reservations": [
        {"id": "cr-0a1b2c3d4e5f60718", "kind": "onDemand", "instanceType": "p5.48xlarge", "zone": "usw2-az2", "count": 2}]},
     _reserved(AvailableInstanceCount=0), [("reservations", "all of its instances are taken", "free some")]),
    ("tags that select nothing", "ordinary", TAGGED, _reserved(Tags=[]), [("reservations", "has none", "correct capacity.pools.gpu.reservations[0]")]),
    ("tags that select too few", "ordinary", TAGGED, _reserved(TotalInstanceCount=1), [("reservations", "1 carry the tags, 1 fit and hold 1", "tags of the reservations")]),
    ("tags that select another type", "ordinary", TAGGED, _reserved(InstanceType="p5e.48xlarge"), [("reservations", "1 carry the tags, 0 fit", "correct")]),
    ("tags that select another kind", "ordinary", TAGGED, _reserved(ReservationType="capacity-block"), [("reservations", "1 carry the tags, 0 fit", "correct")]),
    ("tags that select a block of another time", "ordinary", TAGGED_BLOCK, lambda account: _reserved(EndDate=account.reservations[0]["EndDate"] - timedelta(days=1))(account),
     [("reservations", "1 carry the tags, 0 fit", "correct")]),
    ("an UltraServer that is none", "gb200", {}, lambda account: account.blocks[0].pop("UltraserverType"), [("reservations", "is no UltraServer", "correct capacity.ultraServers.rack-a.type")]),
    ("an UltraServer of the other size", "gb200", {}, lambda account: account.blocks[0].update(UltraserverType="u-p6e-gb200x36"),
     [("reservations", "is u-p6e-gb200x36", "type")]),
    ("an UltraServer whose block is another account's", "gb200", {}, lambda account: account.blocks.clear(), [("reservations", "no Capacity Block holds it", "reservation")]),
    ("an UltraServer that starts nothing", "gb200", {}, _reserved(LaunchStatus="unlaunchable"), [("reservations", "EC2 launches nothing in it", "AWS Support")]),
    ("a Kubernetes version that is gone", "ordinary", {}, lambda account: account.version.update(versionStatus="UNSUPPORTED"), [("versions", "UNSUPPORTED", "newer cluster.version")]),
    ("a Kubernetes version that is not there yet", "ordinary", {}, lambda account: account.version.update(clusterVersion="1.99"), [("versions", "no such version", "cluster.version")]),
    ("a Kubernetes version in extended support", "ordinary", {}, lambda account: account.version.update(versionStatus="EXTENDED_SUPPORT"),
     [("versions", "EXTENDED_SUPPORT, standard support until 2027-03-27", "cluster.support: EXTENDED")]),
    ("an add-on that was withdrawn", "ordinary", {}, lambda account: account.addons.update({"aws-efs-csi-driver": ["v9.0.0-eksbuild.1"]}),
     [("versions", "there are v9.0.0-eksbuild.1", "components/catalog.py")]),
    ("an add-on that is not there for the version", "ordinary", {}, lambda account: account.addons.clear(), [("versions", "no such add-on", "components/catalog.py")]),
    ("an AMI that is gone", "gb200", {}, lambda account: [account.parameters.pop(name) for name in list(account.parameters) if name.endswith("image_id")],
     [("versions", "not in this region", "amiRelease to a release that is there; AWS recommends 1.35.9-20261101")]),
    ("a subnet without room", "ordinary", SUBNETS, _subnet(0, AvailableIpAddressCount=20), [("subnets", "20 free", "name a larger subnet")]),
    ("a subnet of another VPC", "ordinary", SUBNETS, _subnet(1, VpcId="vpc-1"), [("subnets", "vpc-1", "name a subnet of vpc-0123456789abcdef0")]),
    ("a subnet of another zone", "ordinary", SUBNETS, _subnet(2, AvailabilityZoneId="use1-az4"), [("subnets", "use1-az4", "under its own zone")]),
    ("a subnet that is being made", "ordinary", SUBNETS, _subnet(0, State="pending"), [("subnets", "pending", "wait")]),
    ("a subnet that is not there", "ordinary", SUBNETS, lambda account: account.subnets.pop(), [("subnets", "'subnet-0123456789abcdef2' does not exist", "correct network.existing")]),
    ("a cluster of the same name", "ordinary", {}, lambda account: account.clusters.update({"dynamo-ordinary": {"stack": "other"}}),
     [("names", "cluster/dynamo-ordinary is", "set cluster.name")]),
    ("a log group that EKS made again", "ordinary", {}, lambda account: account.log_groups.update({"/aws/eks/dynamo-ordinary/cluster": {}}),
     [("names", "it is there, without the stack's tags", "delete-log-group --region us-east-1 --log-group-name /aws/eks/dynamo-ordinary/cluster")]),
    ("a log group of another stack", "ordinary", {}, lambda account: account.log_groups.update({"/aws/eks/dynamo-ordinary/cluster": {"project": "dynamo-eks", "stack": "other"}}),
     [("names", "it is there, without the stack's tags", "look at what it holds")]),
    ("no right to make a key", "ordinary", {}, _decided("kms:CreateKey", "implicitDeny"), [("rights", "not allowed: kms:CreateKey; 1 in all", "its policies do not")]),
    ("no right to look", "ordinary", {}, _decided("ec2:DescribeVpcs", "implicitDeny"), [("rights", "not allowed: ec2:DescribeVpcs", "deploy with another one")]),
    ("a right that a policy denies", "ordinary", {}, _decided("iam:CreateRole", "explicitDeny"), [("rights", "not allowed: iam:CreateRole", "its policies do not")]),
    ("a right that the organization denies", "ordinary", {}, _decided("eks:CreateCluster", "explicitDeny", OrganizationsDecisionDetail={"AllowedByOrganizations": False}),
     [("rights", "not allowed: eks:CreateCluster", "the organization's policies deny them")]),
    ("an image that is not there", "ordinary", {}, _web(VLLM, 404), [("images", "not there (404)", "correct the image's name or tag")]),
    ("an image that is private", "ordinary", {}, _web(VLLM, 403), [("images", "refused (403)", "dynamo.imagePullSecret")]),
    ("an image that asks for a login", "ordinary", {}, _web(PYTHON, 401), [("images", "refused (401)", "dynamo.imagePullSecret")]),
    ("an image of ECR that is not there", "ordinary", {"graphs.chat.image": {"repository": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/own/vllm", "tag": "1.5.0-mine"}},
     lambda account: None, [("images", "own/vllm:1.5.0-mine is not there", "push the image")]),
    ("a chart's version that is gone", "ordinary", {}, lambda account: account.publish(NGC, "dynamo-platform", "1.4.9", "1.6.2"),
     [("charts", "no such version; there are 1.6.2", "set a version that is there")]),
    ("a chart's archive that is gone", "ordinary", {}, _web(f"{NGC}/dynamo-platform-1.5.0.tgz", 404), [("charts", "not there (404)", "correct the version")]),
    ("a chart's repository that is gone", "ordinary", {}, _web(f"{NGC}/index.yaml", 404), [("charts", "not there (404)", "components/catalog.py")]),
    ("a chart in a registry that is gone", "gb200", {}, _web(KAI, 404), [("charts", "not there (404)", "components/catalog.py")]),
    ("a manifest that is gone", "gb200", {}, _web(MPI, 404), [("charts", "not there (404)", "components/catalog.py")]),
    ("a model that is not there", "ordinary", {}, _model(described=404), [("models", "no such repository or commit", "models.qwen.revision")]),
    ("a model that is private", "ordinary", {}, _model(described=401), [("models", "not there, or not for everybody (401)", "dynamo-eks:huggingFaceToken")]),
    ("a gated model without a token", "ordinary", {}, _model(gated="manual", read=401), [("models", "gated: its files are refused (401)", "accept its licence on https://huggingface.co/Qwen/Qwen3-0.6B")]),
]  # fmt: skip


def test_there_are_enough_of_them() -> None:
    """A table that has lost its rows passes."""
    assert len(FAULTY) >= 25 and len({row[0] for row in FAULTY}) == len(FAULTY)


@pytest.mark.parametrize(
    ("stack", "changes", "fault", "expected"), [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in FAULTY]
)
def test_a_faulty_account(
    stack: str, changes: Mapping[str, Any], fault: Fault, expected: list[tuple[str, str, str]]
) -> None:
    """What is wrong fails, in words that lead to the way out, and nothing else does."""
    account = good(stack, changes)
    fault(account)
    found = lines(account)
    told = [(line.check, line.answered, line.todo) for line in wrong(found)]
    assert len(told) == len(expected), told
    for (check, answered, todo), (its_check, part, do) in zip(told, expected, strict=True):
        assert check == its_check and part in answered and do in todo, (check, answered, todo)
    assert exit_code(found) == 1


GOOD: list[tuple[str, str, Mapping[str, Any]]] = [
    ("an ordinary stack", "ordinary", {}),
    ("with account and administrators", "ordinary", {**PINNED, **ADMINS}),
    ("with spot", "ordinary", SPOT),
    ("with a block", "ordinary", P5),
    ("with reservations by tag", "ordinary", TAGGED),
    ("in a network of others", "ordinary", SUBNETS),
    ("with an UltraServer", "gb200", {}),
]


@pytest.mark.parametrize(("stack", "changes"), [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in GOOD])
def test_a_good_account(stack: str, changes: Mapping[str, Any]) -> None:
    """A preflight that cries over nothing is switched off."""
    found = lines(good(stack, changes))
    assert [(line.check, line.answered) for line in wrong(found)] == [] and exit_code(found) == 0
    assert all(not line.todo for line in found)
    checks = {line.check for line in found}
    assert {"identity", "account", "placeholders", "admins", "region", "zones", "quotas", "versions", "names", "rights",
            "images", "charts", "models"} <= checks  # fmt: skip
    assert ("offerings" in checks) == (stack == "ordinary")
    assert ("reservations" in checks) == bool(good(stack, changes).needs.reservations)


GOOD_AFTER_ALL: list[tuple[str, str, Mapping[str, Any], Fault]] = [
    # name, stack, its changes, what looks wrong and is not
    ("one option of two has room", "ordinary", SPOT, _quota(G, 0)),
    ("quotas to the last vCPU", "ordinary", {}, lambda account: account.quotas.update({G: 8, STANDARD: 8})),
    ("the stack's own VPC", "ordinary", {},
     lambda account: account.there.update(Vpcs=[{"VpcId": f"vpc-{n}", "Tags": [{"Key": "project", "Value": "dynamo-eks"}, {"Key": "stack", "Value": "ordinary"}]} for n in range(5)])),
    ("NAT gateways that are gone", "ordinary", {}, _there("NatGateways", *({"NatGatewayId": f"n-{n}", "State": "deleted", "SubnetId": "s"} for n in range(5)))),
    ("NAT gateways in other zones", "ordinary", {}, _there("NatGateways", *({"NatGatewayId": f"n-{n}", "State": "available", "SubnetId": f"s{n}"} for n in range(9)))),
    ("interface endpoints of others", "ordinary", {}, _there("VpcEndpoints", *({"VpcEndpointId": f"v-{n}", "VpcEndpointType": "Interface"} for n in range(9)))),
    ("the stack's own cluster", "ordinary", {}, lambda account: account.clusters.update({"dynamo-ordinary": {"project": "dynamo-eks", "stack": "ordinary"}})),
    ("the stack's own log group", "ordinary", {},
     lambda account: account.log_groups.update({"/aws/eks/dynamo-ordinary/cluster": {"project": "dynamo-eks", "stack": "ordinary"}})),
    ("the log group of the stack's own cluster", "ordinary", {},
     lambda account: (account.clusters.update({"dynamo-ordinary": {"project": "dynamo-eks", "stack": "ordinary"}}),
                      account.log_groups.update({"/aws/eks/dynamo-ordinary/cluster": {}}))),
    ("log groups of others", "ordinary", {}, lambda account: account.log_groups.update({"/aws/eks/dynamo-ordinary/cluster-2": {}})),
    ("a stack without logs", "ordinary", {"cluster.logs": []}, lambda account: account.log_groups.update({"/aws/eks/dynamo-ordinary/cluster": {}})),
    ("a block without a count yet", "ordinary", P5, _reserved(State="scheduled", TotalInstanceCount=0, AvailableInstanceCount=0)),
    ("a block by tags without a count yet", "ordinary", TAGGED_BLOCK, _reserved(State="scheduled", TotalInstanceCount=0, AvailableInstanceCount=0)),
    ("a constrained zone that is not used", "ordinary", {}, _zone("use1-az6", State="constrained")),
    ("a Local Zone that the program opts in to", "gb200", {}, _zone("use1-dfw2-az1", OptInStatus="not-opted-in")),
    ("types of the family that are not sold", "ordinary", {}, _sold("g6e.48xlarge")),
    ("no on-demand quota for a prepaid block", "ordinary", P5, lambda account: account.quotas.pop(quotas.ON_DEMAND["P"].code, None)),
    ("a region to opt in to", "ordinary", {}, _set("region", "opted-in")),
    ("extended support, paid for", "ordinary", {"cluster.support": "EXTENDED"}, lambda account: account.version.update(versionStatus="EXTENDED_SUPPORT")),
    ("administrators of another account", "ordinary", {"cluster.admins": [f"arn:aws:iam::{OTHER}:role/platform"]}, lambda account: account.principals.clear() or account.principals.update(deploy=f"arn:aws:iam::{ACCOUNT}:role/deploy")),
    ("an image of ECR", "ordinary", {"graphs.chat.image": {"repository": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/own/vllm", "tag": "1.5.0-mine"}}, _set("images", {"own/vllm:1.5.0-mine"})),
    ("a gated model that was opened", "ordinary", {}, _model(gated="auto")),
    ("a chart whose version has a v", "ordinary", {}, lambda account: account.publish(NGC, "dynamo-platform", "v1.5.0")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("stack", "changes", "fault"), [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in GOOD_AFTER_ALL]
)
def test_an_account_that_only_looks_faulty(stack: str, changes: Mapping[str, Any], fault: Fault) -> None:
    """False refusals cost a user more than no preflight."""
    account = good(stack, changes)
    fault(account)
    assert [(line.check, line.asked, line.answered) for line in wrong(lines(account))] == []


UNASKED: list[Row] = [
    # name, stack, changes, what happens, lines that could not be asked: check, answered, what to do
    ("a throttle", "ordinary", {}, lambda account: account.errors.update({"eks.DescribeClusterVersions": Denied("ThrottlingException", "slow")}),
     [("versions", "ThrottlingException: slow", "try again")]),
    ("a code nobody knows", "ordinary", {}, lambda account: account.errors.update({"eks.DescribeClusterVersions": Denied("Odd", "hm")}),
     [("versions", "Odd: hm", "look the code up")]),
    ("a right that hangs on a condition", "ordinary", {}, _decided("iam:PassRole", "implicitDeny", MissingContextValues=["iam:PassedToService"]),
     [("rights", "not allowed on everything: iam:PassRole; they depend on iam:PassedToService", "a simulation cannot be told")]),
    ("a right on some resources", "ordinary", {}, _decided("iam:CreateRole", "implicitDeny"),
     [("rights", "not allowed on everything: iam:CreateRole", "on the stack's own resources")]),
    ("a denial that hangs on a condition", "ordinary", {}, _decided("ec2:DescribeVpcs", "explicitDeny", MissingContextValues=["aws:SourceVpc"]),
     [("rights", "they depend on aws:SourceVpc", "a simulation cannot be told")]),
    ("a caller that IAM does not simulate", "ordinary", {}, _set("arn", f"arn:aws:iam::{ACCOUNT}:root"), [("rights", "roles and users alone", "")]),
    ("quotas that nobody knows", "ordinary", {}, lambda account: account.quotas.pop(G), [("quotas", "NoSuchResourceException", "look the code up")]),
    ("a registry that is down", "ordinary", {}, _web(VLLM, 503), [("images", "answers 503", "later")]),
    ("a registry that counts", "ordinary", {}, _web(PYTHON, 429), [("images", "answers 429", "later")]),
    ("Hugging Face that is down", "ordinary", {}, _model(described=502), [("models", "answers 502", "later")]),
    ("an index that is none", "ordinary", {}, _web(f"{NGC}/index.yaml", (200, "<html>")), [("charts", "is no index of charts", "look at what answers")]),
    ("a token in the cluster", "ordinary", {"dynamo.huggingFaceSecret": "hf", "models.qwen.gated": True}, _model(gated="manual", read=401), [("models", "in a Secret of the cluster", "set HF_TOKEN")]),
    ("a login that the nodes have", "ordinary", {"dynamo.imagePullSecret": {"existing": "nvcr"}}, _web(VLLM, 401), [("images", "a Secret of the cluster", "docker manifest inspect")]),
    ("a password that cannot be read", "ordinary", {"dynamo.imagePullSecret": {"server": "nvcr.io"}, "imagePullPassword": "x"}, _web(VLLM, 401), [("images", "imagePullPassword cannot be read here", "log in")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("stack", "changes", "fault", "expected"), [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in UNASKED]
)
def test_what_could_not_be_asked(
    stack: str, changes: Mapping[str, Any], fault: Fault, expected: list[tuple[str, str, str]]
) -> None:
    """Silence is no fault of the stack, and no consent either."""
    account = good(stack, changes)
    fault(account)
    found = lines(account)
    assert [(line.check, line.verdict) for line in wrong(found)] == [
        (check, "could not ask") for check, _, _ in expected
    ]
    for line, (_, part, do) in zip(wrong(found), expected, strict=True):
        assert part in line.answered and do in line.todo
    assert exit_code(found) == 2


def _calls() -> list[tuple[str, str, Mapping[str, Any], str]]:
    """Every call that any of these stacks makes."""
    found: dict[str, tuple[str, str, Mapping[str, Any], str]] = {}
    for name, stack, changes in GOOD:
        account = good(stack, changes)
        lines(account)
        for call in account.asked:
            found.setdefault(call, (name, stack, changes, call))
    return list(found.values())


def test_no_permission_is_no_failure_of_the_stack() -> None:
    """Who may not ask must be told which right is missing; refused as a fault, the preflight would stop a good stack."""
    calls = _calls()
    assert len(calls) >= 20
    for _, stack, changes, call in calls:
        account = good(stack, changes)
        account.errors[call] = Denied("AccessDeniedException")
        found = lines(account)
        service, _, operation = call.partition(".")
        right = f"{ {'service-quotas': 'servicequotas', 'efs': 'elasticfilesystem'}.get(service, service) }:{operation}"
        missing = wrong(found)
        assert missing, call
        assert {str(line.verdict) for line in missing} <= {"could not ask"}, call
        if service != "sts":
            assert all(
                right in f"{line.answered} {line.todo}" or "zones are not known" in line.answered for line in missing
            ), (call, missing)
        assert exit_code(found) == 2


def test_the_page_names_every_right() -> None:
    """Whoever is given the rights of the page, and no others, must be able to ask everything."""
    page = (ROOT / "docs" / "preflight.md").read_text().partition("## The rights to ask")[2].split("```")[1].split()
    services = {"service-quotas": "servicequotas", "efs": "elasticfilesystem"}
    called = {call.replace(service := call.partition(".")[0], services.get(service, service)).replace(".", ":", 1)
              for _, _, _, call in _calls()}  # fmt: skip
    seldom = {
        "servicequotas:GetAWSDefaultServiceQuota",
        "servicequotas:ListServiceQuotas",
        "iam:GetUser",
        "logs:ListTagsForResource",
        "ecr:DescribeImages",
    }
    assert {*page} == called | seldom and len(page) == len({*page})


def test_no_right_at_all() -> None:
    """An identity that may ask nothing still gets its table, and exit 2."""
    account = good("ordinary", {**PINNED, **ADMINS})
    lines(account)
    account.errors = {
        call: Denied("UnauthorizedOperation") for call in set(account.asked) if not call.startswith("sts.")
    }
    found = lines(account)
    assert exit_code(found) == 2
    assert {line.check for line in wrong(found)} == {
        "admins",
        "region",
        "zones",
        "quotas",
        "offerings",
        "versions",
        "names",
        "rights",
    }


def test_a_wrong_fact_weighs_more_than_silence() -> None:
    account = good()
    account.errors["ec2.DescribeRegions"] = Denied("UnauthorizedOperation")
    account.quotas[G] = 0
    assert exit_code(lines(account)) == 1

"""An account that has everything a stack asks for, and can be made to lack any of it.

Real: boto3 with its own models, which refuse a call with a wrong parameter; every answer is checked against the model's output
as botocore's Stubber does it. Stands in: the services themselves. The internet is a table of addresses.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3
import botocore.session
import yaml
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from components.network.zones import REGION_ZONES
from operations.credentials import Access
from operations.preflight import checks, judge
from operations.preflight.asker import Http, Response, World
from operations.preflight.checks import Secrets
from operations.preflight.lines import Line, Unasked
from operations.preflight.registries import Image
from operations.preflight.wanted import Wanted, wanted
from recording.recorder import record
from stacks.settings import Settings
from tests.conftest import AT
from tests.stacks.edited import edited

ACCOUNT = "111122223333"
DEPLOYER = f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/me"


def _log_group(name: str) -> str:
    return f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{name}"


class Denied(Exception):
    """A service's error, by its code."""

    def __init__(self, code: str, message: str = "said so") -> None:
        super().__init__(code)
        self.code, self.message = code, message


@dataclass
class Account:
    """What the services answer."""

    needs: Wanted
    arn: str = DEPLOYER
    region: str = "opt-in-not-required"
    zones: list[dict[str, Any]] = field(default_factory=list)
    sold: dict[str, set[str]] = field(default_factory=dict)
    quotas: dict[str, float] = field(default_factory=dict)
    defaults: dict[str, float] = field(default_factory=dict)
    quota_names: dict[str, float] = field(default_factory=dict)
    """Quotas without a code that anybody knows, by name."""
    there: dict[str, list[Any]] = field(default_factory=dict)
    """What is there already, by what the listing is called."""
    reservations: list[dict[str, Any]] = field(default_factory=list)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    version: dict[str, Any] = field(default_factory=dict)
    addons: dict[str, list[str]] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    subnets: list[dict[str, Any]] = field(default_factory=list)
    clusters: dict[str, dict[str, str]] = field(default_factory=dict)
    """Tags by name of a cluster."""
    log_groups: dict[str, dict[str, str]] = field(default_factory=dict)
    """Tags by name of a log group."""
    principals: dict[str, str] = field(default_factory=dict)
    """ARN of roles and users by name."""
    decisions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What IAM says of an action, where it is not allowed."""
    images: set[str] = field(default_factory=set)
    """Images of private registries."""
    errors: dict[str, Denied] = field(default_factory=dict)
    """What a call answers in place of anything else, by `service.operation`."""
    web: dict[str, Any] = field(default_factory=dict)
    """Status, or status and body, by address; what is not there answers 404."""
    asked: list[str] = field(default_factory=list)
    """Every call, in the order it came."""

    @classmethod
    def good(cls, needs: Wanted) -> Account:
        """One in which everything holds."""
        made = cls(needs)
        for zone in REGION_ZONES.get(needs.region or "", ()):
            local = zone.zone_type != "availability-zone"
            made.zones.append(
                {
                    "ZoneName": zone.name, "ZoneId": zone.zone_id, "ZoneType": zone.zone_type, "State": "available",
                    "OptInStatus": "opted-in" if local else "opt-in-not-required", "RegionName": needs.region or "",
                    "GroupName": zone.name[:-1] if local else needs.region or "", "Messages": [],
                }
            )  # fmt: skip
        every = {zone["ZoneId"] for zone in made.zones}
        made.sold = {type_: set(every) for pool in needs.pools for type_ in pool.types}
        for item in needs.vcpus:
            made.quotas |= {quota.code: 100_000 for quota in item.options.values()}
        made.quotas |= {item.quota.code: 5 for item in needs.counts}
        for item in needs.reservations:
            block = {"ReservationType": "capacity-block", "StartDate": item.start, "EndDate": item.end}
            made.reservations.append(
                {
                    "CapacityReservationId": item.id or "cr-00000000000000001", "InstanceType": item.instance_type,
                    "AvailabilityZoneId": item.zone_id, "TotalInstanceCount": item.count, "State": "active",
                    "AvailableInstanceCount": item.count, "InstancePlatform": "Linux/UNIX",
                    "Tags": [{"Key": key, "Value": value} for key, value in item.tags.items()],
                    **(block if item.block else {"ReservationType": "default"}),
                }
            )  # fmt: skip
            if item.ultra_server:
                made.blocks.append(
                    {"CapacityBlockId": "cb-0123456789abcdef0", "UltraserverType": item.ultra_server, "State": "active",
                     "CapacityReservationIds": [item.id]}
                )  # fmt: skip
        made.version = {
            "clusterVersion": needs.kubernetes, "versionStatus": "STANDARD_SUPPORT",
            "endOfStandardSupportDate": datetime(2027, 3, 27, tzinfo=UTC),
        }  # fmt: skip
        made.addons = {name: [release] for name, release in needs.addons}
        for type_, minor, release in needs.amis:
            made.parameters[judge.ami_name(type_, minor, release)] = "ami-0123456789abcdef0"
            made.parameters[judge.ami_recommended(type_, minor)] = "1.35.9-20261101"
        for item in needs.subnets:
            made.subnets.append(
                {"SubnetId": item.id, "VpcId": needs.vpc_id, "AvailabilityZoneId": item.zone_id, "State": "available",
                 "AvailableIpAddressCount": 4000}
            )  # fmt: skip
        made.principals = {"deploy": f"arn:aws:iam::{ACCOUNT}:role/team/deploy"}
        made.principals |= {arn.rpartition("/")[2]: arn for arn in needs.admins}
        for reference in needs.images:
            made.web[Image.of(reference).url] = 200
        for chart in needs.charts:
            if chart.reference.startswith("oci://"):
                made.web[Image.of_chart(chart.reference, chart.version).url] = 200
            elif chart.repository:
                made.publish(chart.repository, chart.reference, chart.version)
        for url in needs.files:
            made.web[url] = 200
        for item in needs.models:
            made.model(item.repository, item.revision)
        return made

    def publish(self, repository: str, name: str, *versions: str) -> None:
        """Versions of a chart in a repository, and no others."""
        index = f"{repository}/index.yaml"
        document = yaml.safe_load(self.web[index][1]) if index in self.web else {"entries": {}}
        document["entries"][name] = [{"version": item, "urls": [f"{name}-{item}.tgz"]} for item in versions]
        self.web[index] = (200, yaml.safe_dump(document))
        self.web |= {f"{repository}/{name}-{item}.tgz": 200 for item in versions}

    def model(
        self, repository: str, revision: str, *, described: int = 200, read: int = 200, gated: Any = False
    ) -> None:
        """How Hugging Face answers for a model."""
        body = json.dumps({"gated": gated, "siblings": [{"rfilename": "README.md"}, {"rfilename": "config.json"}]})
        self.web[f"https://huggingface.co/api/models/{repository}/revision/{revision}"] = (described, body)
        self.web[f"https://huggingface.co/{repository}/resolve/{revision}/config.json"] = read

    # --- what is asked -----------------------------------------------------------------------------------------------

    def answer(self, call: str, given: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append(call)
        if call in self.errors:
            raise self.errors[call]
        return getattr(self, "_" + call.replace(".", "_").replace("-", "_"))(given)

    def _sts_GetCallerIdentity(self, given: Any) -> dict[str, Any]:
        return {"Account": self.arn.split(":")[4], "Arn": self.arn, "UserId": "x"}

    def _ec2_DescribeRegions(self, given: Any) -> dict[str, Any]:
        if self.region == "":
            raise Denied("InvalidParameterValue")
        return {"Regions": [{"RegionName": given["RegionNames"][0], "OptInStatus": self.region}]}

    def _ec2_DescribeAvailabilityZones(self, given: Any) -> dict[str, Any]:
        assert given["AllAvailabilityZones"]
        return {"AvailabilityZones": self.zones}

    def _ec2_DescribeInstanceTypeOfferings(self, given: Any) -> dict[str, Any]:
        assert given["LocationType"] == "availability-zone-id"
        (types,) = (item["Values"] for item in given["Filters"] if item["Name"] == "instance-type")
        rows = [
            {"InstanceType": type_, "Location": zone} for type_ in types for zone in sorted(self.sold.get(type_, ()))
        ]
        return {"InstanceTypeOfferings": rows}

    def _service_quotas_GetServiceQuota(self, given: Any) -> dict[str, Any]:
        if given["QuotaCode"] not in self.quotas:
            raise Denied("NoSuchResourceException")
        return {"Quota": {"QuotaCode": given["QuotaCode"], "Value": self.quotas[given["QuotaCode"]]}}

    def _service_quotas_GetAWSDefaultServiceQuota(self, given: Any) -> dict[str, Any]:
        if given["QuotaCode"] not in self.defaults:
            raise Denied("NoSuchResourceException")
        return {"Quota": {"QuotaCode": given["QuotaCode"], "Value": self.defaults[given["QuotaCode"]]}}

    def _service_quotas_ListServiceQuotas(self, given: Any) -> dict[str, Any]:
        return {"Quotas": [{"QuotaName": name, "Value": value} for name, value in self.quota_names.items()]}

    def _ec2_DescribeCapacityReservations(self, given: Any) -> dict[str, Any]:
        if "CapacityReservationIds" in given:
            found = [
                item for item in self.reservations if item["CapacityReservationId"] in given["CapacityReservationIds"]
            ]
            if not found:
                raise Denied("InvalidCapacityReservationId.NotFound")
            return {"CapacityReservations": found}
        wanted_tags = {item["Name"].removeprefix("tag:"): item["Values"][0] for item in given["Filters"]}
        tagged = [
            item
            for item in self.reservations
            if wanted_tags.items() <= {tag["Key"]: tag["Value"] for tag in item["Tags"]}.items()
        ]
        return {"CapacityReservations": tagged}

    def _ec2_DescribeCapacityBlocks(self, given: Any) -> dict[str, Any]:
        return {"CapacityBlocks": self.blocks}

    def _eks_DescribeClusterVersions(self, given: Any) -> dict[str, Any]:
        right = self.version.get("clusterVersion") in given["clusterVersions"]
        return {"clusterVersions": [self.version] if right else []}

    def _eks_DescribeAddonVersions(self, given: Any) -> dict[str, Any]:
        assert given["kubernetesVersion"] == self.needs.kubernetes
        versions = [
            {"addonVersion": item, "computeTypes": ["ec2", "auto"]} for item in self.addons.get(given["addonName"], ())
        ]
        return {"addons": [{"addonName": given["addonName"], "addonVersions": versions}] if versions else []}

    def _logs_DescribeLogGroups(self, given: Any) -> dict[str, Any]:
        found = [name for name in self.log_groups if name.startswith(given["logGroupNamePrefix"])]
        return {"logGroups": [{"logGroupName": name, "arn": f"{_log_group(name)}:*"} for name in found]}

    def _logs_ListTagsForResource(self, given: Any) -> dict[str, Any]:
        tags = {_log_group(name): tags for name, tags in self.log_groups.items()}
        return {"tags": tags[given["resourceArn"]]}

    def _eks_DescribeCluster(self, given: Any) -> dict[str, Any]:
        if given["name"] not in self.clusters:
            raise Denied("ResourceNotFoundException")
        arn = f"arn:aws:eks:us-east-1:{ACCOUNT}:cluster/{given['name']}"
        return {"cluster": {"name": given["name"], "arn": arn, "tags": self.clusters[given["name"]]}}

    def _eks_ListClusters(self, given: Any) -> dict[str, Any]:
        return {"clusters": [*self.clusters, *self.there.get("clusters", ())]}

    def _ssm_GetParameter(self, given: Any) -> dict[str, Any]:
        if given["Name"] not in self.parameters:
            raise Denied("ParameterNotFound")
        return {"Parameter": {"Name": given["Name"], "Value": self.parameters[given["Name"]]}}

    def _ec2_DescribeSubnets(self, given: Any) -> dict[str, Any]:
        found = [item for item in self.subnets if item["SubnetId"] in given["SubnetIds"]]
        missing = {*given["SubnetIds"]} - {item["SubnetId"] for item in found}
        if missing:
            raise Denied("InvalidSubnetID.NotFound", f"The subnet ID '{min(missing)}' does not exist")
        return {"Subnets": found}

    def _list(self, key: str) -> dict[str, Any]:
        return {key: self.there.get(key, [])}

    def _ec2_DescribeVpcs(self, given: Any) -> dict[str, Any]:
        return self._list("Vpcs")

    def _ec2_DescribeInternetGateways(self, given: Any) -> dict[str, Any]:
        return self._list("InternetGateways")

    def _ec2_DescribeAddresses(self, given: Any) -> dict[str, Any]:
        return self._list("Addresses")

    def _ec2_DescribeNatGateways(self, given: Any) -> dict[str, Any]:
        return self._list("NatGateways")

    def _ec2_DescribeVpcEndpoints(self, given: Any) -> dict[str, Any]:
        return self._list("VpcEndpoints")

    def _efs_DescribeFileSystems(self, given: Any) -> dict[str, Any]:
        return self._list("FileSystems")

    def _iam_GetRole(self, given: Any) -> dict[str, Any]:
        return {"Role": self._principal(given["RoleName"], "Role")}

    def _iam_GetUser(self, given: Any) -> dict[str, Any]:
        return {"User": self._principal(given["UserName"], "User")}

    def _principal(self, name: str, kind: str) -> dict[str, Any]:
        if name not in self.principals:
            raise Denied("NoSuchEntity")
        arn = self.principals[name]
        return {f"{kind}Name": name, "Arn": arn, "Path": "/", f"{kind}Id": "AROA0123456789ABCDEF", "CreateDate": AT}

    def _iam_SimulatePrincipalPolicy(self, given: Any) -> dict[str, Any]:
        if given["PolicySourceArn"] not in {*self.principals.values(), self.arn}:
            raise Denied("NoSuchEntity")
        assert {"ContextKeyName": "aws:RequestedRegion", "ContextKeyValues": [self.needs.region],
                "ContextKeyType": "string"} in given["ContextEntries"]  # fmt: skip
        return {
            "EvaluationResults": [
                {"EvalActionName": name, "EvalDecision": "allowed", **self.decisions.get(name, {})}
                for name in given["ActionNames"]
            ]
        }

    def _ecr_DescribeImages(self, given: Any) -> dict[str, Any]:
        name = f"{given['repositoryName']}:{given['imageIds'][0]['imageTag']}"
        if name not in self.images:
            raise Denied("ImageNotFoundException", f"{name} is not there")
        return {"imageDetails": [{"repositoryName": given["repositoryName"]}]}


class Web(Http):
    """The internet, as the account's table has it."""

    def __init__(self, account: Account) -> None:
        super().__init__()
        self.account = account

    def one(self, method: str, url: str, headers: Mapping[str, str]) -> Response:
        found = self.account.web.get(url, 404)
        status, body = found if isinstance(found, tuple) else (found, "")
        if isinstance(status, Exception):
            raise status
        return Response(status, {}, body.encode())


@cache
def _session() -> tuple[Any, dict[str, Account]]:
    """One session for all tests, whose models take a second to read; it asks whatever account stands in the second."""
    session = botocore.session.Session()
    session.set_credentials("testing", "testing")
    standing: dict[str, Account] = {}

    def remember(params: Mapping[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        context["given"] = copy.deepcopy(dict(params))

    def answer(model: Any, context: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        service = model.service_model.service_name
        call = f"{service}.{model.name}"
        try:
            parsed = standing["account"].answer(call, context["given"])
        except Denied as error:
            said = {"Error": {"Code": error.code, "Message": error.message}}
            raise ClientError(said, model.name) from None  # type: ignore[arg-type] as botocore raises it
        _shaped(service, model, parsed)
        return _Sent(), {**parsed, "ResponseMetadata": {"HTTPStatusCode": 200}}

    session.register("before-parameter-build", remember)
    session.register("before-call", answer)
    return boto3.Session(botocore_session=session), standing


class _Sent:
    status_code = 200


_SHAPED: dict[str, Stubber] = {}


def _shaped(service: str, model: Any, parsed: Mapping[str, Any]) -> None:
    """Refuse an answer that the service's model does not have, as a stubbed client does."""
    client = _clients().setdefault(service, None) or _session()[0].client(service, region_name="us-east-1")
    _clients()[service] = client
    Stubber(client)._validate_operation_response(model.name, dict(parsed))  # pyright: ignore[reportAttributeAccessIssue]


@cache
def _clients() -> dict[str, Any]:
    return {}


class _Playing(World):
    """The world with clients that are kept from test to test."""

    def _client(self, service: str, region: str | None) -> Any:
        key = f"{service} {region or self.access.region}"
        with self._lock:
            if key not in _clients():
                _clients()[key] = _session()[0].client(service, region_name=region or self.access.region)
            return _clients()[key]


def world(account: Account) -> World:
    _session()[1]["account"] = account
    return _Playing(Access(region=account.needs.region), Web(account))


@cache
def _planned(stack: str, changes: str) -> Wanted:
    values = values_of(stack, _CHANGES[changes])
    graph = record(stack, values, secret_keys=(*SECRET_KEYS,), at=AT)
    return wanted(Settings.parse(stack, values, SECRET_KEYS, AT), graph)


SECRET_KEYS = frozenset({"dynamo-eks:huggingFaceToken", "dynamo-eks:imagePullPassword"})

_CHANGES: dict[str, Mapping[str, Any]] = {}


def values_of(stack: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A happy file's configuration, changed, with nothing left to fill in."""
    filled = {"cluster.publicAccessCidrs": []}
    if stack == "gb200":
        filled["capacity.ultraServers.rack-a.reservation"] = "cr-00112233445566778"  # type: ignore[assignment]
    return edited(stack, {**filled, **(changes or {})})


def good(stack: str = "ordinary", changes: Mapping[str, Any] | None = None) -> Account:
    """A good account for a changed happy file. Planned once for each."""
    key = repr(changes or {})
    _CHANGES[key] = changes or {}
    return Account.good(_planned(stack, key))


def lines(account: Account, secrets: Secrets | None = None) -> list[Line]:
    """What a preflight says of it."""
    return checks.run(account.needs, world(account), secrets or Secrets(), AT)


def wrong(found: list[Line]) -> list[Line]:
    return [line for line in found if line.verdict != "holds"]


Fault = Callable[[Account], Any]

__all__ = ["ACCOUNT", "AT", "Account", "Denied", "Fault", "Unasked", "good", "lines", "values_of", "world", "wrong"]

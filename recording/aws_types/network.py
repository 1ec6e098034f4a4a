"""VPC, subnets, routes, gateways, security groups and endpoints."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from datetime import date
from typing import Any

from components.network.zones import REGION_ZONES
from recording.aws_types.asking import GONE, by_tags, ec2_id, seen
from recording.aws_types.call import Call
from recording.aws_types.card import EXISTS, SAME, Ask, Asker, Candidate, Card, Told, replaced
from recording.aws_types.charge import Charge
from recording.aws_types.refusing import Edit, Refusal
from recording.world import Inputs, Made, NoAnswer, World, digest


def _permission(inputs: Inputs) -> Inputs:
    """A rule of a security group as the call has it: one permission (terraform-provider-aws, vpc_security_group_*_rule)."""
    told = {"description": inputs["description"]} if "description" in inputs else {}
    permission = {key: inputs[key] for key in ("ipProtocol", "fromPort", "toPort") if key in inputs}
    if "cidrIpv4" in inputs:
        permission["ipRanges"] = [{"cidrIp": inputs["cidrIpv4"], **told}]
    if "referencedSecurityGroupId" in inputs:
        permission["userIdGroupPairs"] = [{"groupId": inputs["referencedSecurityGroupId"], **told}]
    known = {*permission, "cidrIpv4", "referencedSecurityGroupId", "description"}
    return {**{key: value for key, value in inputs.items() if key not in known}, "ipPermissions": [permission]}


def _get_vpc(world: World, arguments: Inputs) -> dict[str, Any]:
    world.assume(f"VPC {arguments.get('id')} exists with DNS hostnames and DNS support on; not read")
    return {
        "id": arguments.get("id"),
        "cidrBlock": "10.0.0.0/16",
        "enableDnsHostnames": True,
        "enableDnsSupport": True,
        "arn": world.arn("ec2", f"vpc/{arguments.get('id')}"),
    }


def _get_subnet(world: World, arguments: Inputs) -> dict[str, Any]:
    id_ = str(arguments.get("id"))
    known = world.subnets.get(id_)
    if known is None:
        raise NoAnswer(f"subnet {id_} is not known here")
    world.assume(
        f"subnet {id_} is in {known['zoneId']}, tagged, routed and with free addresses, as a good one is; not read"
    )
    role = "elb" if known["public"] else "internal-elb"
    names = {zone.zone_id: zone.name for zone in REGION_ZONES.get(world.region, ())}
    return {
        "id": id_,
        "vpcId": known["vpcId"],
        "availabilityZoneId": known["zoneId"],
        "availabilityZone": names.get(known["zoneId"], f"{world.region}a"),
        "availableIpAddressCount": known.get("freeAddresses", 4000),
        "tags": known.get("tags", {f"kubernetes.io/role/{role}": "1"}),
    }


def _get_route_tables(world: World, arguments: Inputs) -> dict[str, Any]:
    wanted = [value for item in arguments.get("filters") or () for value in item.get("values", ())]
    subnet = world.subnets.get(wanted[0] if wanted else "")
    # A subnet whose facts name no table of its own is on the VPC's main one.
    ids = [f"rtb-{wanted[0]}"] if subnet and not subnet.get("mainTable") else []
    return {"id": world.region, "ids": ids or (["rtb-main"] if wanted == ["true"] else [])}


def _get_route_table(world: World, arguments: Inputs) -> dict[str, Any]:
    id_ = str(arguments.get("routeTableId"))
    subnet = world.subnets.get(id_.removeprefix("rtb-"), {})
    target = subnet.get("defaultRoute", "igw-0123456789abcdef0" if subnet.get("public") else "nat-0123456789abcdef0")
    key = "gatewayId" if str(target).startswith("igw-") else "natGatewayId"
    routes = [{"cidrBlock": "0.0.0.0/0", key: target}] if target else []
    blank = dict.fromkeys(
        (
            "carrierGatewayId", "coreNetworkArn", "destinationPrefixListId", "egressOnlyGatewayId", "gatewayId",
            "instanceId", "ipv6CidrBlock", "localGatewayId", "natGatewayId", "networkInterfaceId", "transitGatewayId",
            "vpcEndpointId", "vpcPeeringConnectionId", "odbNetworkArn",
        ),
        "",
    )  # fmt: skip
    return {"id": id_, "routeTableId": id_, "routes": [{**blank, **route} for route in routes]}


def _get_availability_zone(world: World, arguments: Inputs) -> dict[str, Any]:
    """One zone by its id, also one that the account has not opted in to."""
    zone_id = str(arguments.get("zoneId"))
    zone = next((item for item in REGION_ZONES.get(world.region, ()) if item.zone_id == zone_id), None)
    local = zone is None or zone.zone_type != "availability-zone"
    # A zone that the table lacks has a name of the same make: use1-dfw2-az1 is us-east-1-dfw-2a.
    name = zone.name if zone else f"{world.region}-{zone_id.split('-')[1]}a"
    usual = min(item.zone_id for item in REGION_ZONES[world.region] if item.zone_type == "availability-zone")
    world.assume(f"zone {zone_id} is called {name}{f' and hangs on {usual}' if local else ''}; EC2 was not asked")
    return {
        "id": name,
        "name": name,
        "zoneId": zone_id,
        "zoneType": zone.zone_type if zone else "local-zone",
        "groupName": name[:-1] if local else world.region,
        "optInStatus": ("opted-in" if world.opted_in else "not-opted-in") if local else "opt-in-not-required",
        "parentZoneId": usual if local else "",
        "allAvailabilityZones": True,
        "region": world.region,
        "state": "available",
    }


def _get_availability_zones(world: World, arguments: Inputs) -> dict[str, Any]:
    zones = REGION_ZONES.get(world.region)
    if zones is None:
        raise NoAnswer(f"the zones of {world.region} are not in components/network/zones.py; add them")
    # Local Zones are answered only when asked for, as EC2 does for zones that are not opted in.
    wanted = {name for item in arguments.get("filters") or () for name in item.get("values", ())}
    found = [zone for zone in zones if zone.zone_type == "availability-zone" or zone.zone_type in wanted]
    excluded = set(arguments.get("excludeZoneIds") or ())
    found = [zone for zone in found if zone.zone_id not in excluded]
    world.assume(
        f"zone names of {world.region} map to zone ids as {', '.join(f'{z.name}={z.zone_id}' for z in found)}; "
        "the mapping differs between accounts, the ids do not"
    )
    return {
        "id": world.region,
        "names": [zone.name for zone in found],
        "zoneIds": [zone.zone_id for zone in found],
        "groupNames": [world.region],
    }


def _new_vpc(world: World, name: str, inputs: Inputs) -> Made:
    id_ = world.id("vpc", name)
    return id_, {
        "arn": world.arn("ec2", f"vpc/{id_}"),
        "defaultSecurityGroupId": world.id("sg", name, "default"),
        "mainRouteTableId": world.id("rtb", name, "main"),
    }


def _new_subnet(world: World, name: str, inputs: Inputs) -> Made:
    id_ = world.id("subnet", name)
    return id_, {"arn": world.arn("ec2", f"subnet/{id_}")}


def _find_subnet(asker: Asker, inputs: Inputs) -> list[Candidate]:
    where = [
        {"Name": "vpc-id", "Values": [inputs["vpcId"]]},
        {"Name": "cidr-block", "Values": [inputs["cidrBlock"]]},
    ]
    found = asker.every("ec2", "describe_subnets", "Subnets", Filters=where)
    return [seen(item, item["SubnetId"], item.get("State")) for item in found]


def _new_route_table_association(world: World, name: str, inputs: Inputs) -> Made:
    return world.id("rtbassoc", name), {}


def _find_route_table_association(asker: Asker, inputs: Inputs) -> list[Candidate]:
    table = inputs["routeTableId"]
    return [
        Candidate(joined["RouteTableAssociationId"])
        for item in asker.every("ec2", "describe_route_tables", "RouteTables", RouteTableIds=[table])
        for joined in item.get("Associations") or ()
        if joined.get("SubnetId") == inputs["subnetId"]
    ]


def _new_route(world: World, name: str, inputs: Inputs) -> Made:
    return f"r-{inputs.get('routeTableId')}{digest(name, length=10)}", {}


def _find_route(asker: Asker, inputs: Inputs) -> list[Candidate]:
    table, destination = inputs["routeTableId"], inputs["destinationCidrBlock"]
    for item in asker.every("ec2", "describe_route_tables", "RouteTables", RouteTableIds=[table]):
        for route in item.get("Routes") or ():
            if route.get("DestinationCidrBlock") == destination:
                return [Candidate(f"r-{table}{zlib.crc32(destination.encode())}", told=route.get("State", ""))]
    return []


def _new_eip(world: World, name: str, inputs: Inputs) -> Made:
    id_ = world.id("eipalloc", name)
    # 203.0.113.0/24 is reserved for documentation (RFC 5737).
    return id_, {"allocationId": id_, "publicIp": f"203.0.113.{int(digest(name, length=2), 16)}"}


def _new_nat_gateway(world: World, name: str, inputs: Inputs) -> Made:
    return world.id("nat", name), {"publicIp": f"203.0.113.{int(digest(name, length=2), 16)}"}


def _find_nat_gateway(asker: Asker, inputs: Inputs) -> list[Candidate]:
    where = [{"Name": "subnet-id", "Values": [inputs["subnetId"]]}]
    found = asker.every("ec2", "describe_nat_gateways", "NatGateways", Filter=where)
    return [
        seen(item, item["NatGatewayId"], item["State"])
        for item in found
        if item["State"] not in GONE
        and any(
            address.get("AllocationId") == inputs["allocationId"] for address in item.get("NatGatewayAddresses") or ()
        )
    ]


def _endpoint_takes(inputs: Inputs) -> str:
    return "interface-endpoint-create" if inputs.get("vpcEndpointType") == "Interface" else "aws-call"


def _endpoint_goes(inputs: Inputs) -> str:
    return "interface-endpoint-delete" if inputs.get("vpcEndpointType") == "Interface" else "aws-call"


def _find_vpc_endpoint(asker: Asker, inputs: Inputs) -> list[Candidate]:
    where = [
        {"Name": "vpc-id", "Values": [inputs["vpcId"]]},
        {"Name": "service-name", "Values": [inputs["serviceName"]]},
    ]
    found = asker.every("ec2", "describe_vpc_endpoints", "VpcEndpoints", Filters=where)
    return [
        seen(item, item["VpcEndpointId"], item.get("State"))
        for item in found
        if str(item.get("State", "")).lower() not in ("deleting", "deleted")
    ]


def _new_vpc_endpoint_route_table_association(world: World, name: str, inputs: Inputs) -> Made:
    return f"a-{inputs.get('vpcEndpointId')}{digest(name, length=10)}", {}


def _find_flow_log(asker: Asker, inputs: Inputs) -> list[Candidate]:
    where = [{"Name": "resource-id", "Values": [inputs["vpcId"]]}]
    wanted = str(inputs["logDestination"]).removesuffix(":*")
    return [
        Candidate(item["FlowLogId"], told=item.get("FlowLogStatus", ""))
        for item in asker.every("ec2", "describe_flow_logs", "FlowLogs", Filter=where)
        if wanted.endswith(str(item.get("LogGroupName") or item.get("LogDestination") or "-").removesuffix(":*"))
    ]


def _new_availability_zone_group(world: World, name: str, inputs: Inputs) -> Made:
    return str(inputs.get("groupName")), {}


def _find_availability_zone_group(asker: Asker, inputs: Inputs) -> list[Candidate]:
    group = inputs["groupName"]
    where = [{"Name": "group-name", "Values": [group]}]
    zones = asker.every(
        "ec2", "describe_availability_zones", "AvailabilityZones", AllAvailabilityZones=True, Filters=where
    )
    return [Candidate(group, told="opted-in")] if any(item["OptInStatus"] == "opted-in" for item in zones) else []


def _rules_asked(*, egress: bool) -> Ask:
    def ask(asker: Asker, inputs: Inputs) -> list[Candidate]:
        where = [{"Name": "group-id", "Values": [inputs["securityGroupId"]]}]
        found = asker.every("ec2", "describe_security_group_rules", "SecurityGroupRules", Filters=where)
        return [
            Candidate(item["SecurityGroupRuleId"])
            for item in found
            if item["IsEgress"] == egress and _alike(item, inputs)
        ]

    return ask


def _alike(rule: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether a rule is what the inputs say. Ports of `all protocols` are -1 in one answer and absent in another."""

    def port(value: Any) -> Any:
        return None if value in (None, -1, "-1") else int(value)

    return (
        str(rule.get("IpProtocol")) == str(given["ipProtocol"])
        and port(rule.get("FromPort")) == port(given.get("fromPort"))
        and port(rule.get("ToPort")) == port(given.get("toPort"))
        and rule.get("CidrIpv4") == given.get("cidrIpv4")
        and (rule.get("ReferencedGroupInfo") or {}).get("GroupId") == given.get("referencedSecurityGroupId")
    )


SOURCES = ("cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId")
"""What a rule of a security group lets in or out, one of them."""


RULE_CHANGES: Mapping[str, str] = dict.fromkeys(
    ("ipProtocol", "fromPort", "toPort", "description", *SOURCES), "ModifySecurityGroupRules"
)


def _another_source(before: Inputs, after: Inputs) -> frozenset[str]:
    """A rule is changed to another range, but not from a range to a group."""
    named = [{name for name in SOURCES if side.get(name)} for side in (before, after)]
    return frozenset(named[0] | named[1]) if named[0] != named[1] else frozenset()


def _private_names(before: Inputs, after: Inputs) -> frozenset[str]:
    """Private DNS is switched in place on interface endpoints alone."""
    return frozenset(() if after.get("vpcEndpointType") == "Interface" else {"privateDnsEnabled"})


def _leaves_addresses(edit: Edit) -> bool:
    """Whether a gateway is taken off a VPC in which something has a public address through it."""
    return (
        edit.changes("vpcId")
        and bool(edit.before.get("vpcId"))
        and bool(edit.beside.get("aws:ec2/natGateway:NatGateway"))
    )


def _two_in_a_zone(edit: Edit) -> bool:
    zones = [edit.zones.get(subnet) for subnet in edit.after.get("subnetIds") or ()]
    return edit.changes("subnetIds") and None not in zones and len(set(zones)) < len(zones)


def _endpoint_zones(inputs: Inputs, day: date) -> float:
    """Zones of an interface endpoint; one of S3 or DynamoDB by routes costs nothing."""
    return len(inputs.get("subnetIds") or ()) if inputs.get("vpcEndpointType") == "Interface" else 0


CARDS = (
    Card(
        type="aws:ec2/vpc:Vpc",
        duration="vpc-create",
        call=Call(
            "ec2",
            "CreateVpc",
            elsewhere={"enableDnsHostnames": "ModifyVpcAttribute", "enableDnsSupport": "ModifyVpcAttribute"},
        ),
        created=_new_vpc,
        told=Told(),
        ask=by_tags("describe_vpcs", "Vpcs", "VpcId"),
        replaced=replaced("ec2/vpc_.go", "cidrBlock", "ipv4IpamPoolId", "ipv4NetmaskLength"),
        refuses=(
            Refusal(
                id="hostnames-without-dns",
                property="enableDnsSupport",
                refused=lambda edit: (
                    edit.after.get("enableDnsSupport") is False
                    and bool(edit.after.get("enableDnsHostnames"))
                    and (edit.changes("enableDnsSupport") or edit.changes("enableDnsHostnames"))
                ),
                words="You can only enable DNS hostnames if you've enabled DNS support",
                instead="switch DNS hostnames off first, or leave DNS support on",
                source="botocore 1.44.8, EC2 ModifyVpcAttribute.EnableDnsHostnames",
            ),
        ),
        changes={"enableDnsHostnames": "ModifyVpcAttribute", "enableDnsSupport": "ModifyVpcAttribute"},
        actions=(
            "ec2:CreateVpc",
            "ec2:DescribeVpcs",
            "ec2:DescribeVpcAttribute",
            "ec2:ModifyVpcAttribute",
            "ec2:DescribeNetworkAcls",
            "ec2:DescribeRouteTables",
            "ec2:DescribeSecurityGroups",
            "ec2:DeleteVpc",
            "ec2:CreateTags",
            "ec2:DeleteTags",
        ),
    ),
    Card(
        type="aws:ec2/subnet:Subnet",
        duration="aws-call",
        call=Call("ec2", "CreateSubnet", elsewhere={"mapPublicIpOnLaunch": "ModifySubnetAttribute"}),
        created=_new_subnet,
        told=Told(("vpcId", "cidrBlock"), second=EXISTS),
        ask=_find_subnet,
        replaced=replaced(
            "ec2/vpc_subnet.go",
            "availabilityZone",
            "availabilityZoneId",
            "cidrBlock",
            "ipv6Native",
            "outpostArn",
            "vpcId",
        ),
        changes={"mapPublicIpOnLaunch": "ModifySubnetAttribute"},
        actions=(
            "ec2:CreateSubnet",
            "ec2:DescribeSubnets",
            "ec2:ModifySubnetAttribute",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DeleteSubnet",
            "ec2:CreateTags",
        ),
    ),
    Card(
        type="aws:ec2/internetGateway:InternetGateway",
        duration="aws-call",
        call=Call("ec2", "CreateInternetGateway", elsewhere={"vpcId": "AttachInternetGateway"}),
        created=ec2_id("igw", "internet-gateway"),
        told=Told(),
        ask=by_tags("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
        # The gateway is moved to another VPC in place.
        replaced=replaced("ec2/vpc_internet_gateway.go"),
        refuses=(
            Refusal(
                id="gateway-with-addresses",
                property="vpcId",
                refused=_leaves_addresses,
                words="DependencyViolation: Network {before} has some mapped public address(es). Please unmap those public "
                "address(es) before detaching the gateway",
                instead="keep the VPC's range; another one needs another stack, or this one destroyed first",
                source="hashicorp/terraform #497 #1303; botocore 1.44.8, EC2 DetachInternetGateway",
            ),
        ),
        changes={"vpcId": "AttachInternetGateway"},
        actions=(
            "ec2:CreateInternetGateway",
            "ec2:AttachInternetGateway",
            "ec2:DescribeInternetGateways",
            "ec2:DetachInternetGateway",
            "ec2:DeleteInternetGateway",
            "ec2:CreateTags",
        ),
    ),
    Card(
        type="aws:ec2/routeTable:RouteTable",
        duration="aws-call",
        call=Call("ec2", "CreateRouteTable"),
        created=ec2_id("rtb", "route-table"),
        told=Told(within=("vpcId",)),
        ask=by_tags("describe_route_tables", "RouteTables", "RouteTableId", vpc_id="vpcId"),
        replaced=replaced("ec2/vpc_route_table.go", "vpcId"),
        actions=(
            "ec2:CreateRouteTable",
            "ec2:DescribeRouteTables",
            "ec2:DeleteRouteTable",
            "ec2:CreateTags",
        ),
    ),
    Card(
        type="aws:ec2/routeTableAssociation:RouteTableAssociation",
        duration="aws-call",
        call=Call("ec2", "AssociateRouteTable"),
        created=_new_route_table_association,
        told=Told(("subnetId", "routeTableId"), second=EXISTS),
        ask=_find_route_table_association,
        replaced=replaced("ec2/vpc_route_table_association.go", "subnetId", "gatewayId"),
        changes={"routeTableId": "ReplaceRouteTableAssociation"},
        actions=(
            "ec2:AssociateRouteTable",
            "ec2:DescribeRouteTables",
            "ec2:ReplaceRouteTableAssociation",
            "ec2:DisassociateRouteTable",
        ),
    ),
    Card(
        type="aws:ec2/route:Route",
        duration="aws-call",
        call=Call("ec2", "CreateRoute"),
        created=_new_route,
        told=Told(("routeTableId", "destinationCidrBlock"), second=EXISTS),
        ask=_find_route,
        replaced=replaced(
            "ec2/vpc_route.go",
            "routeTableId",
            "destinationCidrBlock",
            "destinationIpv6CidrBlock",
            "destinationPrefixListId",
        ),
        changes={"gatewayId": "ReplaceRoute", "natGatewayId": "ReplaceRoute"},
        actions=(
            "ec2:CreateRoute",
            "ec2:DescribeRouteTables",
            "ec2:ReplaceRoute",
            "ec2:DeleteRoute",
        ),
    ),
    Card(
        type="aws:ec2/eip:Eip",
        duration="aws-call",
        charges=(Charge("public-ipv4-hour"),),
        call=Call("ec2", "AllocateAddress"),
        created=_new_eip,
        told=Told(),
        ask=by_tags("describe_addresses", "Addresses", "AllocationId"),
        replaced=replaced("ec2/ec2_eip.go", "address", "domain", "ipamPoolId", "networkBorderGroup", "publicIpv4Pool"),
        actions=(
            "ec2:AllocateAddress",
            "ec2:DescribeAddresses",
            "ec2:DescribeAddressesAttribute",
            "ec2:ReleaseAddress",
            "ec2:DisassociateAddress",
            "ec2:CreateTags",
        ),
    ),
    Card(
        type="aws:ec2/natGateway:NatGateway",
        duration="nat-gateway-create",
        deletion="nat-gateway-delete",
        charges=(Charge("nat-hour"),),
        call=Call("ec2", "CreateNatGateway"),
        created=_new_nat_gateway,
        told=Told(("allocationId",), second="refuses it, since its address is taken"),
        ask=_find_nat_gateway,
        replaced=replaced("ec2/vpc_nat_gateway.go", "allocationId", "connectivityType", "privateIp", "subnetId"),
        actions=(
            "ec2:CreateNatGateway",
            "ec2:DescribeNatGateways",
            "ec2:DeleteNatGateway",
            "ec2:CreateTags",
        ),
    ),
    Card(
        type="aws:ec2/securityGroup:SecurityGroup",
        duration="aws-call",
        call=Call("ec2", "CreateSecurityGroup", {"name": "GroupName"}, given={"GroupName": "made up by the provider"}),
        created=ec2_id("sg", "security-group"),
        told=Told(within=("vpcId",)),
        ask=by_tags("describe_security_groups", "SecurityGroups", "GroupId", vpc_id="vpcId", group_name="name"),
        replaced=replaced("ec2/vpc_security_group.go", "description", "name", "namePrefix", "vpcId", named="name"),
        actions=(
            "ec2:CreateSecurityGroup",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeNetworkInterfaces",
            "ec2:RevokeSecurityGroupEgress",
            "ec2:RevokeSecurityGroupIngress",
            "ec2:DeleteSecurityGroup",
            "ec2:CreateTags",
        ),
    ),
    Card(
        type="aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        duration="aws-call",
        call=Call("ec2", "AuthorizeSecurityGroupIngress", {"securityGroupId": "GroupId"}, sent=_permission),
        created=ec2_id("sgr", "security-group-rule"),
        told=Told(
            ("securityGroupId", "ipProtocol", "fromPort", "toPort", "cidrIpv4", "referencedSecurityGroupId"),
            second=EXISTS,
        ),
        ask=_rules_asked(egress=False),
        # By its ModifyPlan: another kind of source.
        replaced=replaced("ec2/vpc_security_group_ingress_rule.go", "securityGroupId", when=_another_source),
        changes=RULE_CHANGES,
        actions=(
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:DescribeSecurityGroupRules",
            "ec2:ModifySecurityGroupRules",
            "ec2:RevokeSecurityGroupIngress",
            "ec2:CreateTags",
        ),
    ),
    Card(
        type="aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        duration="aws-call",
        call=Call("ec2", "AuthorizeSecurityGroupEgress", {"securityGroupId": "GroupId"}, sent=_permission),
        created=ec2_id("sgr", "security-group-rule"),
        told=Told(
            ("securityGroupId", "ipProtocol", "fromPort", "toPort", "cidrIpv4", "referencedSecurityGroupId"),
            second=EXISTS,
        ),
        ask=_rules_asked(egress=True),
        # By its ModifyPlan: another kind of source.
        replaced=replaced("ec2/vpc_security_group_egress_rule.go", "securityGroupId", when=_another_source),
        changes=RULE_CHANGES,
        actions=(
            "ec2:AuthorizeSecurityGroupEgress",
            "ec2:DescribeSecurityGroupRules",
            "ec2:ModifySecurityGroupRules",
            "ec2:RevokeSecurityGroupEgress",
            "ec2:CreateTags",
        ),
    ),
    Card(
        type="aws:ec2/vpcEndpoint:VpcEndpoint",
        duration=_endpoint_takes,
        deletion=_endpoint_goes,
        charges=(Charge("endpoint-hour", _endpoint_zones),),
        call=Call("ec2", "CreateVpcEndpoint"),
        created=ec2_id("vpce", "vpc-endpoint"),
        told=Told(("vpcId", "serviceName"), second="refuses its routes or its private DNS names"),
        ask=_find_vpc_endpoint,
        replaced=replaced(
            "ec2/vpc_endpoint.go",
            "serviceName",
            "serviceRegion",
            "vpcEndpointType",
            "vpcId",
            "resourceConfigurationArn",
            "serviceNetworkArn",
            "dnsOptions.privateDnsPreference",
            "dnsOptions.privateDnsSpecifiedDomains",
            when=_private_names,
        ),
        refuses=(
            Refusal(
                id="endpoint-twice-in-a-zone",
                property="subnetIds",
                refused=_two_in_a_zone,
                words="DuplicateSubnetsInSameZone: Found another VPC endpoint subnet in the availability zone",
                instead="give one subnet of each zone",
                source="terraform-aws-modules/terraform-aws-vpc #451 #583",
            ),
        ),
        changes=dict.fromkeys(
            ("routeTableIds", "subnetIds", "securityGroupIds", "privateDnsEnabled", "dnsOptions"), "ModifyVpcEndpoint"
        ),
        actions=(
            "ec2:CreateVpcEndpoint",
            "ec2:DescribeVpcEndpoints",
            "ec2:DescribePrefixLists",
            "ec2:ModifyVpcEndpoint",
            "ec2:DeleteVpcEndpoints",
            "ec2:CreateTags",
        ),
    ),
    Card(
        type="aws:ec2/vpcEndpointRouteTableAssociation:VpcEndpointRouteTableAssociation",
        duration="aws-call",
        call=Call("ec2", "ModifyVpcEndpoint", {"routeTableId": "AddRouteTableIds"}),
        created=_new_vpc_endpoint_route_table_association,
        replaced=replaced("ec2/vpc_endpoint_route_table_association.go", "routeTableId", "vpcEndpointId"),
    ),
    Card(
        type="aws:ec2/flowLog:FlowLog",
        duration="aws-call",
        call=Call(
            "ec2",
            "CreateFlowLogs",
            {"vpcId": "ResourceIds", "iamRoleArn": "DeliverLogsPermissionArn"},
            given={"ResourceType": "VPC"},
        ),
        created=ec2_id("fl", "vpc-flow-log"),
        told=Told(("vpcId", "logDestination"), second=EXISTS),
        ask=_find_flow_log,
        # Tags alone can be changed.
        replaced=replaced(
            "ec2/vpc_flow_log.go",
            "iamRoleArn",
            "logDestination",
            "logDestinationType",
            "logFormat",
            "trafficType",
            "vpcId",
            "subnetId",
            "eniId",
            "maxAggregationInterval",
            "destinationOptions",
        ),
        actions=(
            "ec2:CreateFlowLogs",
            "ec2:DescribeFlowLogs",
            "ec2:DeleteFlowLogs",
            "logs:CreateLogDelivery",
            "logs:DeleteLogDelivery",
            "iam:PassRole",
            "ec2:CreateTags",
        ),
    ),
    Card(
        type="aws:ec2/availabilityZoneGroup:AvailabilityZoneGroup",
        duration="aws-call",
        call=Call("ec2", "ModifyAvailabilityZoneGroup"),
        created=_new_availability_zone_group,
        told=Told(("groupName",), second=SAME),
        ask=_find_availability_zone_group,
        replaced=replaced("ec2/ec2_availability_zone_group.go", "groupName"),
        refuses=(
            Refusal(
                id="opt-out",
                property="optInStatus",
                refused=lambda edit: edit.of("optInStatus") == ("opted-in", "not-opted-in"),
                words="You must contact Amazon Web Services Support to opt out of a Local Zone or Wavelength Zone group",
                instead="leave the zone opted in; it costs nothing",
                source="botocore 1.44.8, EC2 ModifyAvailabilityZoneGroup.OptInStatus",
            ),
        ),
        changes={"optInStatus": "ModifyAvailabilityZoneGroup"},
        actions=(
            "ec2:ModifyAvailabilityZoneGroup",
            "ec2:DescribeAvailabilityZones",
        ),
    ),
)

READS = {
    "aws:ec2/getVpc:getVpc": _get_vpc,
    "aws:ec2/getSubnet:getSubnet": _get_subnet,
    "aws:ec2/getRouteTables:getRouteTables": _get_route_tables,
    "aws:ec2/getRouteTable:getRouteTable": _get_route_table,
    "aws:index/getAvailabilityZone:getAvailabilityZone": _get_availability_zone,
    "aws:index/getAvailabilityZones:getAvailabilityZones": _get_availability_zones,
}
"""Answers to the program's questions, by token."""

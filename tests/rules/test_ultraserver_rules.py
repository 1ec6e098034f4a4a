"""Every single thing that a rule about UltraServers finds (`FINDINGS`, run in test_findings.py), and what goes with it."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

import pytest

from components.gpu import values as charts
from recording.graph import UNKNOWN
from recording.racks import racks
from rules import judge
from rules.ultraservers import _older
from tests.conftest import recorded
from tests.rules.test_each_rule import (
    BY_ID,
    DGD,
    GROUP,
    PAIR,
    RACK,
    RELEASE,
    SCHEDULE,
    TEMPLATE,
    Edit,
    at,
    both,
    component,
    container,
    drop,
    edit,
    no_backends,
    nothing,
    pod_spec,
    rebuilt,
    set_env,
    set_resource,
    untied,
)
from tests.rules.ultraserver_edits import (
    annotations,
    answered,
    anywhere,
    before,
    beside,
    claim,
    elsewhere,
    groups,
    grove,
    grown,
    in_the_cluster,
    many,
    near,
    no_claim,
    one_node,
    packed,
    sized,
    value,
)

FINDINGS: list[tuple[str, str, Edit, str]] = [
    ("rack-interfaces", RACK, drop(TEMPLATE), "has no launch template; nothing would name the block"),
    ("rack-interfaces", RACK, edit(TEMPLATE, lambda i: i.update(instanceType="p6e-gb300.36xlarge")), "network cards of p6e-gb300.36xlarge are not known"),
    ("rack-interfaces", RACK, edit(TEMPLATE, lambda i: i["networkInterfaces"].pop()), "has no layout with 3 EFA interfaces; choose 4 or 8"),
    ("rack-interfaces", RACK, edit(TEMPLATE, lambda i: i["networkInterfaces"][1].update(deviceIndex=1)), "EC2 takes"),
    ("rack-interfaces", RACK, edit(TEMPLATE, lambda i: i["networkInterfaces"][0].update(interfaceType="efa")), "EC2 takes"),
    ("rack-interfaces", RACK, edit(TEMPLATE, groups("sg-1")), "card 0 has 1 of 2 security groups; give the cluster's and the EFA group"),
    ("rack-interfaces", RACK, edit(TEMPLATE, groups("sg-1", "sg-1")), "card 13 has 1 of 2 security groups; give the cluster's and the EFA group"),
    ("rack-interfaces", RACK, edit(TEMPLATE, lambda i: i["networkInterfaces"][0].update(subnetId="subnet-1")), "which EKS refuses; name it on the group"),
    ("rack-interfaces", PAIR, drop(TEMPLATE), "has no launch template; nothing would name the block"),
    ("rack-interfaces", PAIR, edit(TEMPLATE, lambda i: i.pop("networkInterfaces")), "has no layout with 0 EFA interfaces"),
    ("rack-interfaces", RACK, edit(TEMPLATE, lambda i: i["networkInterfaces"][4].pop("securityGroups")), "card 13 has 0 of 2 security groups"),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i["instanceMarketOptions"].update(marketType="spot")), "no market type capacity-block"),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i.pop("capacityReservationSpecification")), "names no reservation"),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i.update(placement={"groupName": "rack"})), "names a placement group"),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i.update(placement={"groupId": "pg-1"})), "names a placement group"),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i.update(iamInstanceProfile={"name": "x"})), "gives iamInstanceProfile"),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i.update(vpcSecurityGroupIds=["sg-1"])), "gives vpcSecurityGroupIds"),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i["metadataOptions"].update(httpTokens="optional")), "leaves instance metadata open"),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i["metadataOptions"].pop("httpPutResponseHopLimit")), "state the limit"),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i["blockDeviceMappings"][0]["ebs"].update(encrypted="false")), "not encrypted"),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i.pop("blockDeviceMappings")), "not encrypted"),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i.pop("userData")), "does not join its NVMe disks"),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i.update(userData=base64.b64encode(b"#!/bin/sh").decode())), "does not join its NVMe disks"),
    ("rack-launch", PAIR, both(drop(TEMPLATE), edit(TEMPLATE, lambda i: i["instanceMarketOptions"].update(marketType="spot"))), "no market type capacity-block"),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i.pop("metadataOptions")), "leaves instance metadata open"),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i["blockDeviceMappings"].append({"deviceName": "/dev/sdb", "ebs": {}})), "has a volume that is not encrypted"),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i["blockDeviceMappings"][0].pop("ebs")), "has a volume that is not encrypted"),
    ("rack-node-group", RACK, edit(GROUP, lambda i: i.update(amiType="BOTTLEROCKET_ARM_64_NVIDIA")), "amiType is BOTTLEROCKET_ARM_64_NVIDIA"),
    ("rack-node-group", RACK, edit(GROUP, lambda i: i.update(capacityType="ON_DEMAND")), "capacityType is ON_DEMAND; only CAPACITY_BLOCK runs P6e-GB200"),
    ("rack-node-group", RACK, edit(GROUP, lambda i: i.update(instanceTypes=["p6e-gb200.36xlarge"])), "EKS refuses both"),
    ("rack-node-group", RACK, edit(GROUP, lambda i: i.pop("releaseVersion")), "pins no image release"),
    ("rack-node-group", RACK, edit(GROUP, sized(maxSize=12)), "may have 12 nodes; an UltraServer has 9 or 18"),
    ("rack-node-group", RACK, edit(GROUP, sized(minSize=1)), "could not be drained"),
    ("rack-node-group", RACK, at(2026, 11, 30, 9), "wants nodes before its block starts; begin with 0"),
    ("rack-node-group", RACK, edit(GROUP, nothing, ignore_changes=()), "would reset its size with every update"),
    ("rack-node-group", RACK, edit(GROUP, lambda i: i["subnetIds"].append("subnet-2")), "is in 2 subnets; a block is in one zone"),
    ("rack-node-group", RACK, edit(GROUP, lambda i: i["taints"][0].update(effect="NO_EXECUTE")), "has no nvidia.com/gpu taint"),
    ("rack-node-group", RACK, edit(GROUP, lambda i: i.pop("taints")), "has no nvidia.com/gpu taint"),
    ("rack-node-group", RACK, edit(GROUP, lambda i: i["labels"].pop("dynamo-eks/ultraserver-node")), "by which the GPU stack finds its nodes"),
    ("rack-node-group", RACK, edit("subnet:Subnet", lambda i: i.update(availabilityZoneId="use1-az4"), "rack"), "is in use1-az4, and its block is in use1-dfw2-az1"),
    ("rack-node-group", RACK, edit(GROUP, lambda i: i.pop("scalingConfig")), "may have 0 nodes; an UltraServer has 9 or 18"),
    ("rack-node-group", RACK, edit(GROUP, lambda i: i.pop("subnetIds")), "is in 0 subnets; a block is in one zone"),
    ("rack-node-group", RACK, edit(GROUP, lambda i: i["taints"][0].update(key="nvidia.com/gpus")), "has no nvidia.com/gpu taint"),
    ("rack-node-group", RACK, edit(GROUP, lambda i: i.pop("labels")), "lacks the label dynamo-eks/ultraserver-node=true"),
    ("rack-node-group", RACK, elsewhere("use1-dfw2-az1", "use1-az4"), "is in 2 subnets; a block is in one zone"),
    ("rack-node-group", RACK, elsewhere("use1-az4", "use1-dfw2-az1"), "is in use1-az4, and its block is in use1-dfw2-az1"),
    ("rack-node-group", RACK, answered(availabilityZoneId="use1-atl2-az1"), "is in use1-dfw2-az1, and its block is in use1-atl2-az1"),
    *(("rack-schedules", RACK, edit(SCHEDULE, lambda i, key=key: i.pop(key), "drain"), f"leaves out {key}, which then becomes 0") for key in ("minSize", "maxSize")),
    ("rack-schedules", RACK, edit(SCHEDULE, lambda i: i.update(startTime="2026-12-08T10:16:00Z"), "drain"), "too late: EC2 takes the machines from 2026-12-08T10:30:00Z on"),
    ("rack-schedules", RACK, before, "no scheduled action at its start; the rack would be billed and empty"),
    ("rack-schedules", RACK, both(before, grown(startTime="2026-12-01T12:30:00Z")), "comes at 2026-12-01T12:30:00Z; the block starts 2026-12-01T11:30:00Z"),
    ("rack-schedules", RACK, both(before, grown(desiredCapacity=17)), "raises the group to 17 of 18 nodes; all are paid for"),
    ("rack-schedules", RACK, edit(SCHEDULE, lambda i: i.pop("desiredCapacity"), "drain"), "leaves out desiredCapacity, which then becomes 0"),
    ("rack-schedules", PAIR, drop(SCHEDULE, "drain"), "has no scheduled action that takes its nodes away"),
    ("rack-window", RACK, at(2026, 12, 8, 9, 30), "is drained at 2026-12-08T10:00:00Z, within half an hour"),
    ("rack-window", RACK, at(2026, 12, 8, 11, 30), "the block ended at 2026-12-08T11:30:00Z"),
    ("rack-window", PAIR, at(2026, 12, 8, 10), "the block is drained since 2026-12-08T10:00:00Z, 90 minutes before its end"),
    ("rack-window", PAIR, both(drop(SCHEDULE, "drain"), at(2026, 12, 15, 9, 30)), "is drained at 2026-12-15T10:00:00Z, within half an hour"),
    ("rack-subnet", RACK, edit("subnet:Subnet", lambda i: i["tags"].update({"kubernetes.io/role/internal-elb": "1"}), "rack"), "is tagged for load balancers"),
    ("rack-subnet", RACK, in_the_cluster, "among its own; EKS takes no Local Zone there"),
    ("rack-subnet", PAIR, edit("subnet:Subnet", lambda i: i.update(cidrBlock="10.112.240.0/24"), "rack"), "has addresses for 10 nodes and not for 18"),
    ("rack-subnet", PAIR, both(edit(GROUP, lambda i: i.update(subnetIds=["subnet-1"])), edit("subnet:Subnet", lambda i: i.update(cidrBlock="10.112.240.0/25"), "rack")), "has addresses for 4 nodes and not for 9"),
    ("hybrid-addons", RACK, untied(GROUP), "does not depend on add-on coredns; its nodes would join without it"),
    *(("hybrid-addons", RACK, drop(":Addon", name), f"no add-on {name}") for name in ("kube-proxy", "eks-pod-identity-agent", "eks-node-monitoring-agent", "coredns")),
    *(
        ("one-allocator", stack, edit(RELEASE, value(path, new), name), f"values.{path}: expected {words}")
        for stack, name, path, new, words in (
            (RACK, "dra-driver", "resources.gpus.enabled", ..., "false: the device plugin serves GPUs"),
            (RACK, "dra-driver", "gpuResourcesEnabledOverride", True, "false: the device plugin serves GPUs"),
            (RACK, "dra-driver", "resources.computeDomains.enabled", False, "true: ComputeDomains are what"),
            (RACK, "dra-driver", "nvidiaDriverRoot", "/run/nvidia/driver", "/, where the AMI has its driver"),
            (PAIR, "dra-driver", "controller.affinity", ..., "null with 25.x"),
            (PAIR, "dra-driver", "controller.affinity", charts.on_racks(["a"]), "null with 25.x"),
            (RACK, "gpu-operator", "driver.enabled", True, "false: the AMI has the driver"),
            (RACK, "gpu-operator", "toolkit.enabled", ..., "false: the AMI has the container toolkit"),
            (RACK, "gpu-operator", "migManager.enabled", True, "false: the AMI's coherent driver mode"),
            (RACK, "gpu-operator", "devicePlugin.enabled", False, "true: nothing else serves GPUs"),
            (RACK, "gpu-operator", "gfd.enabled", False, "true: feature discovery writes the label"),
            (RACK, "gpu-operator", "nfd.enabled", False, "true: feature discovery writes the label"),
            (PAIR, "gpu-operator", "gpuCluster.deployCR", True, "false: with it GPUs come from DRA"),
        )
    ),
    ("one-allocator", PAIR, edit(RELEASE, lambda i: i["values"]["controller"].pop("affinity") or i.update(version="v25.12.0"), "dra-driver"), "values.controller.affinity: expected null with 25.x"),
    ("one-allocator", RACK, edit(RELEASE, lambda i: i.pop("values"), "gpu-operator"), "values.driver.enabled: expected false"),
    *(("gpu-stack-place", stack, edit(RELEASE, value(path, ...), name), words) for stack, name, path, words in (
        (RACK, "efa-plugin", "tolerations", "does not tolerate nvidia.com/gpu"),
        (RACK, "dra-driver", "kubeletPlugin.affinity", "does not keep to nodes with the label dynamo-eks/ultraserver"),
        (PAIR, "dra-driver", "kubeletPlugin.tolerations", "does not tolerate nvidia.com/gpu"),
        (RACK, "gpu-operator", "node-feature-discovery.worker.affinity", "it would run on Auto Mode nodes"),
        (PAIR, "gpu-operator", "node-feature-discovery.worker.tolerations", "it would run on no UltraServer node"),
    )),
    *(("gpu-stack-place", RACK, edit(RELEASE, change, name), "does not tolerate nvidia.com/gpu") for name, change in (
        ("efa-plugin", lambda i: i.pop("values")),
        ("efa-plugin", value("tolerations", [{"key": "nvidia.com/gpus"}])),
        ("gpu-operator", value("node-feature-discovery", ...)),
    )),
    ("p6e-driver", RACK, edit(RELEASE, lambda i: i.update(version="v26.3.2"), "gpu-operator"), "is older than 26.3.3; its device plugin mounts GDRCopy"),
    ("p6e-driver", RACK, edit(RELEASE, lambda i: i.update(version="v25.10.0"), "gpu-operator"), "is older than 26.3.3"),
    ("p6e-driver", RACK, edit(GROUP, lambda i: i.update(releaseVersion="1.35.0-20251102")), "image 1.35.0-20251102 is older than 20251103"),
    ("rack-room", RACK, edit(DGD, lambda i: component(i, "decode").update(multinode={"nodeCount": 9})), "1 pods have no node, the first r1-wide-ep-0-"),
    ("rack-room", PAIR, edit(DGD, lambda i: component(i, "prefill").update(replicas=10)), "its graphs ask for 40 GPUs, it has 36"),
    ("rack-room", PAIR, edit(DGD, set_resource("prefill", "vpc.amazonaws.com/efa", "8")), "asks for 8 EFA interfaces, and 4 are left"),
    ("rack-room", PAIR, edit(DGD, set_resource("decode", "hugepages-2Mi", "6144Mi")), "6144Mi of hugepages-2Mi"),
    ("rack-room", RACK, edit(DGD, set_resource("prefill", "memory", "2Ti")), "MiB of memory, and"),
    ("rack-room", RACK, edit(DGD, many(anywhere, lambda i: component(i, "prefill").update(replicas=11))), "its graphs ask for 76 GPUs, none has so many left"),
    ("rack-room", RACK, edit(DGD, many(anywhere, set_resource("prefill", "memory", "2Ti"))), "asks for 2097152 MiB of memory, and"),
    ("rack-room", RACK, edit(DGD, many(lambda i: pod_spec(i, "prefill")["nodeSelector"].update({"dynamo-eks/ultraserver": "rack-z"}), set_resource("decode", "memory", "2Ti"))), "asks for 2097152 MiB of memory, and"),
    ("rack-room", RACK, edit(DGD, lambda i: pod_spec(i, "frontend")["nodeSelector"].update({"dynamo-eks/ultraserver": "rack-z"})), "the stack has no UltraServer of this name; name one that it has"),
    ("rack-room", RACK, both(drop(GROUP), edit(DGD, anywhere)), "its graphs ask for 72 GPUs, none has so many left"),
    ("rack-room", RACK, edit(TEMPLATE, lambda i: i.update(instanceType="p6e-gb300.36xlarge")), "its graphs ask for 72 GPUs, it has 0"),
    ("rack-room", RACK, edit(DGD, many(lambda i: component(i, "frontend").update(replicas=1), set_resource("frontend", "memory", "2Ti"))), "it asks for 0 GPUs, 4000 thousandths of a core, 2097152 MiB, which no node has left"),
    ("rack-room", RACK, beside(set_resource("prefill", "memory", "2Ti"), namespace="other"), "asks for 2097152 MiB of memory, and"),
    ("rack-stranded", RACK, edit(DGD, set_resource("decode", "nvidia.com/gpu", "1")), "takes 1 GPUs of a node's 4 and strands the rest"),
    ("rack-stranded", RACK, edit(DGD, many(no_claim("prefill"), set_resource("prefill", "nvidia.com/gpu", "3"))), "takes 3 GPUs"),
    ("rack-stranded", PAIR, edit(DGD, many(no_claim("prefill"), set_resource("prefill", "nvidia.com/gpu", "2"))), "takes 2 GPUs"),
    ("rack-stranded", PAIR, both(edit(TEMPLATE, lambda i: i.update(instanceType="p6e-gb300.36xlarge"), "rack-b"), edit(DGD, set_resource("decode", "nvidia.com/gpu", "2"))), "takes 2 GPUs"),
    ("rack-stranded", PAIR, edit(DGD, many(lambda i: pod_spec(i, "prefill")["nodeSelector"].update({"dynamo-eks/ultraserver": "rack-z"}), set_resource("decode", "nvidia.com/gpu", "2"))), "takes 2 GPUs"),
    ("rack-stranded", RACK, edit(DGD, many(anywhere, set_resource("decode", "nvidia.com/gpu", "2"))), "takes 2 GPUs"),
    ("rack-stranded", RACK, beside(set_resource("prefill", "nvidia.com/gpu", "2"), namespace="other"), "takes 2 GPUs"),
    ("domain-claims", RACK, edit(DGD, grove("prefill")), "claims a channel and has Grove make another"),
    ("domain-claims", RACK, edit(DGD, claim("prefill", resourceClaimTemplateName="gone-channel")), "claims from gone-channel, which no ComputeDomain of its namespace makes"),
    ("domain-claims", RACK, edit(DGD, lambda i: i["metadata"].update(namespace="other")), "which no ComputeDomain of its namespace makes"),
    ("domain-claims", RACK, edit(DGD, lambda i: container(i, "prefill")["resources"].pop("claims")), "declares the claim compute-domain-channel and no container uses it"),
    ("domain-claims", RACK, edit(":ComputeDomain", lambda i: i["spec"].update(numNodes=18), "graph"), "states a number of nodes"),
    ("domain-claims", RACK, edit(":ComputeDomain", lambda i: i["spec"].pop("numNodes"), "graph"), "states a number of nodes"),
    ("domain-claims", RACK, edit(DGD, lambda i: i["spec"].pop("components")), "is claimed by no worker"),
    ("domain-claims", PAIR, edit(DGD, no_claim("decode")), "is claimed by no worker"),
    ("domain-claims", RACK, edit(DGD, lambda i: container(i, "prefill").pop("resources")), "declares the claim compute-domain-channel and no container uses it"),
    ("domain-claims", RACK, edit(DGD, lambda i: pod_spec(i, "prefill").pop("containers")), "declares the claim compute-domain-channel and no container uses it"),
    ("domain-claims", RACK, edit(":ComputeDomain", lambda i: i["metadata"].pop("labels"), "verify"), "is claimed by no worker"),
    ("one-domain-per-clique", PAIR, edit(DGD, lambda i: pod_spec(i, "prefill")["nodeSelector"].update({"dynamo-eks/ultraserver": "rack-a"}) or component(i, "prefill").update(replicas=1)), "holds 2 domains (dynamo/glm-5-decode-channel, dynamo/glm-5-prefill-channel)"),
    ("one-domain-per-clique", RACK, edit(DGD, many(no_claim("prefill"), grove("prefill"))), "(dynamo/r1-wide-ep (by Grove), dynamo/r1-wide-ep-channel)"),
    ("clique-placement", RACK, edit(DGD, lambda i: near("decode")(i).update(topologyKey="kubernetes.io/hostname")), "has no affinity on nvidia.com/gpu.clique"),
    ("clique-placement", RACK, edit(DGD, lambda i: near("decode")(i)["labelSelector"].update(matchLabels={"app": "other"})), "does not select itself; its first pod would never be placed"),
    ("clique-placement", RACK, edit(DGD, anywhere), "names no UltraServer and is no gang"),
    ("clique-placement", RACK, edit(DGD, many(no_claim("decode"), grove("decode"), lambda i: pod_spec(i, "decode").pop("affinity"))), "has no affinity on nvidia.com/gpu.clique"),
    ("clique-placement", RACK, edit(DGD, lambda i: pod_spec(i, "decode").update(affinity={"podAffinity": {}})), "has no affinity on nvidia.com/gpu.clique"),
    ("clique-placement", RACK, edit(DGD, lambda i: near("decode")(i).pop("labelSelector")), "does not select itself; its first pod would never be placed"),
    ("clique-placement", RACK, edit(DGD, lambda i: near("decode")(i)["labelSelector"]["matchLabels"].update(tier="a")), "does not select itself; its first pod would never be placed"),
    ("domain-outlives-workers", RACK, untied(":ComputeDomain", "graph"), "may outlive dra-driver-release, whose controller runs its finalizer"),
    ("domain-outlives-workers", RACK, untied(":ComputeDomain", "verify"), "may outlive dra-driver-release, whose controller runs its finalizer"),
    ("domain-outlives-workers", PAIR, untied(DGD), "may outlive ComputeDomain dynamo/glm-5-prefill; make it depend on the domain"),
    ("gang-scheduling", RACK, edit(DGD, annotations(**{"nvidia.com/enable-grove": "false"})), "the operator refuses it"),
    ("gang-scheduling", RACK, drop(RELEASE, "kai"), "needs kai-scheduler, which the stack does not install"),
    ("gang-scheduling", RACK, both(drop(RELEASE, "kai"), drop(RELEASE, "grove")), "needs grove and kai-scheduler"),
    ("gang-scheduling", RACK, untied(DGD), "does not depend on gang-kai; its pods would stay gated"),
    ("gang-scheduling", RACK, edit(DGD, annotations(**{"nvidia.com/kai-scheduler-queue": "default"})), "names no queue of this stack"),
    ("gang-scheduling", RACK, drop(":Queue", "parent"), "is in queue dynamo-eks-graphs under dynamo-eks, which nobody makes"),
    ("gang-scheduling", RACK, edit(":Queue", lambda i: i["spec"]["resources"]["gpu"].update(limit=71)), "asks for 72 GPUs, and its queue dynamo-eks has 71"),
    ("gang-scheduling", RACK, edit(DGD, packed("elsewhere")), "is packed by topology elsewhere, which nobody makes"),
    ("gang-scheduling", RACK, both(edit(DGD, packed()), drop(":ClusterTopologyBinding")), "is packed by topology ultraservers, which nobody makes"),
    ("gang-scheduling", RACK, edit(RELEASE, lambda i: i.update(version="v0.1.0-alpha.12"), "grove"), "is v0.1.0-alpha.12; Dynamo 1.5.0 needs v0.1.0-alpha.13 or newer"),
    ("gang-scheduling", RACK, edit(RELEASE, lambda i: i.update(version="v0.13.4"), "kai"), "is v0.13.4; Dynamo 1.5.0 needs v0.17.0 or newer"),
    ("gang-scheduling", RACK, edit(DGD, one_node("decode")), "installs kai-scheduler, and no graph has workers of several nodes"),
    ("gang-scheduling", RACK, edit(DGD, lambda i: i["metadata"].pop("annotations")), "names no queue of this stack"),
    ("gang-scheduling", RACK, both(drop(RELEASE, "grove"), beside(nothing)), "needs grove, which the stack does not install"),
    ("gang-scheduling", RACK, both(edit(DGD, annotations(**{"nvidia.com/kai-scheduler-queue": "default"})), beside(one_node("decode"))), "names no queue of this stack"),
    ("gang-scheduling", RACK, edit(DGD, many(one_node("decode"), packed("elsewhere"))), "is packed by topology elsewhere, which nobody makes"),
    ("gang-scheduling", RACK, edit(DGD, lambda i: i["spec"].pop("components")), "installs grove, and no graph has workers of several nodes"),
    ("gang-scheduling", RACK, both(edit(RELEASE, lambda i: i.update(version="v0.13.4"), "kai"), edit(DGD, one_node("decode"))), "installs grove, and no graph has workers of several nodes"),
    ("rack-architecture", RACK, edit(DGD, lambda i: pod_spec(i, "decode")["nodeSelector"].update({"kubernetes.io/arch": "amd64"})), "does not select kubernetes.io/arch: arm64"),
    ("rack-architecture", RACK, beside(lambda i: pod_spec(i, "decode")["nodeSelector"].pop("kubernetes.io/arch"), namespace="other"), "does not select kubernetes.io/arch: arm64"),
    ("files-from-local-zone", RACK, edit(":PersistentVolumeClaim", lambda i: i["spec"].update(storageClassName="efs-sc-dynamic"), "model-cache"), "mounts model-cache, whose class names no zone"),
    ("files-from-local-zone", RACK, edit(DGD, lambda i: container(i, "decode")["volumeMounts"][0].update(name="model-cache")), "reads its model over the link to the region; set weights: nvme"),
    ("files-from-local-zone", RACK, edit(":StorageClass", lambda i: i.update(mountOptions=["tls"]), "local-zone"), "mounts model-cache, whose class names no zone"),
    ("files-from-local-zone", RACK, edit(":StorageClass", lambda i: i.pop("mountOptions"), "local-zone"), "mounts model-cache, whose class names no zone"),
    ("files-from-local-zone", RACK, edit(DGD, many(lambda i: pod_spec(i, "frontend").pop("nodeSelector"), lambda i: container(i, "decode")["volumeMounts"][0].update(name="model-cache"))), "reads its model over the link to the region"),
    ("files-from-local-zone", RACK, edit(DGD, many(anywhere, lambda i: container(i, "decode")["volumeMounts"][0].update(name="model-cache"))), "reads its model over the link to the region"),
    ("ladder-gates", RACK, lambda graph: rebuilt(graph, [node for node in graph if not ("verify-rack-a" in node.name and node.type.endswith(":Job"))]), "its graphs run on a rack nobody tested"),
    ("ladder-gates", PAIR, lambda graph: rebuilt(graph, [node for node in graph if not ("verify-rack-b" in node.name and node.type.endswith(":Job"))]), "its graphs run on a rack nobody tested"),
    ("ladder-gates", PAIR, lambda graph: rebuilt(graph, [node for node in graph if not ("verify-rack-a-efa" in node.name and node.type.endswith(":Job"))]), "takes EFA interfaces of rack-a, and no rung of its ladder measures EFA"),
    ("kinds-follow-charts", RACK, edit(RELEASE, lambda i: i.update(disableWebhooks=True), "kai"), "has disableWebhooks set"),
    ("kinds-follow-charts", RACK, edit(RELEASE, lambda i: i.update(skipCrds=True), "grove"), "has skipCrds set"),
    ("kinds-follow-charts", RACK, edit(RELEASE, lambda i: i.update(disableCRDHooks=True), "grove"), "has disableCRDHooks set"),
    ("kinds-follow-charts", RACK, edit(RELEASE, lambda i: i["values"].setdefault("operator", {}).update(upgradeCRD=False), "gpu-operator"), "lacks values.operator.upgradeCRD"),
    ("kinds-follow-charts", RACK, edit(RELEASE, lambda i: i["values"]["dynamo-operator"].update(upgradeCRD=False), "platform"), "lacks values.dynamo-operator.upgradeCRD"),
    ("rack-repair", RACK, edit(GROUP, lambda i: i.update(nodeRepairConfig={"enabled": True, "maxParallelNodesRepairedCount": 1})), "may have healthy nodes replaced"),
    ("ladder-gates", RACK, both(untied(DGD), edit(DGD, anywhere)), "does not wait for verify-rack-a-imex"),
    ("ladder-gates", PAIR, both(untied(DGD), beside(lambda i: pod_spec(i, "decode")["nodeSelector"].update({"dynamo-eks/ultraserver": "rack-b"}))), "does not wait for verify-rack-a-imex"),
    ("gpu-stack-outlives", RACK, untied(RELEASE, "efa-plugin"), "may outlive node group nodes-rack-a-76543210; make it depend on the nodes"),
    ("gpu-stack-outlives", PAIR, untied(RELEASE, "dra-driver"), "may outlive node group nodes-rack-a-76543210"),
    ("kv-transport", RACK, edit(DGD, lambda i: set_env(i, "prefill", "TRTLLM_NIXL_KVCACHE_BACKEND", "LIBFABRIC")), "lacks TRTLLM_NIXL_KVCACHE_BACKEND=UCX; KV blocks would not go over NVLink"),
    ("kv-transport", PAIR, edit(DGD, lambda i: set_env(i, "decode", "SGLANG_DISAGGREGATION_NIXL_BACKEND", "UCX")), "lacks SGLANG_DISAGGREGATION_NIXL_BACKEND=LIBFABRIC; KV blocks would go over TCP"),
]  # fmt: skip


def test_each_finding_is_the_edits() -> None:
    """Without the edit the same rules are silent, so the words above come from it."""
    for stack in (RACK, PAIR):
        for preview in (False, True):
            graph = recorded(stack, preview)
            for rule in {rule for rule, *_ in FINDINGS}:
                assert {item.verdict for item in BY_ID[rule].verdicts(graph)} <= {"pass"}, (rule, stack, preview)


def test_before_the_start_all_is_well() -> None:
    """The stack as it is planned when the block is bought: nothing may fail merely for being early."""
    graph = both(before, grown())(recorded(RACK))
    names = {rule for rule, *_ in FINDINGS}
    assert [item for item in judge(graph) if item.id in names and item.verdict != "pass"] == []


@pytest.mark.parametrize("index", range(1, 5))
def test_every_interface_counts(index: int) -> None:
    """A fault in the last of five interfaces starts no machine either."""
    change = edit(TEMPLATE, lambda i: i["networkInterfaces"][index].update(networkCardIndex=index * 2))
    assert [item.verdict for item in BY_ID["rack-interfaces"].verdicts(change(recorded(RACK)))] == ["fail"]


def test_a_preview_does_not_guess_zones() -> None:
    """In a preview every subnet has the same unknown id: which one is meant cannot be told, and nothing may be claimed."""
    graph = recorded(RACK, True)
    nodes = [
        dataclasses.replace(node, order=len(graph) + 1, name="network-rack-elsewhere",
                            inputs={**node.inputs, "availabilityZoneId": "use1-atl2-az1"})
        for node in graph.of("aws:ec2/subnet:Subnet") if "rack" in node.name
    ]  # fmt: skip
    verdicts = BY_ID["rack-node-group"].verdicts(rebuilt(graph, [*graph, *nodes]))
    assert {item.verdict for item in verdicts} == {"pass"}


def test_unknown_values_of_a_preview_are_no_faults() -> None:
    """Security groups of a new VPC are unknown until it stands."""
    for node in recorded(RACK, True).of("aws:ec2/launchTemplate:LaunchTemplate"):
        assert UNKNOWN in node.inputs["networkInterfaces"][0]["securityGroups"]


def test_ladders_domain_may_be_unclaimed() -> None:
    """Its jobs are done when a graph runs, and their pods gone."""
    subjects = [item.subject for item in BY_ID["domain-claims"].verdicts(recorded(PAIR)) if item.verdict != "pass"]
    assert subjects == []
    assert {item.name for item in recorded(PAIR).objects_of("ComputeDomain")} >= {"verify-rack-a", "verify-rack-b"}


def nvlink_vllm(inputs: dict[str, Any], backend: str) -> None:
    """The shipped NVLink graph as if vLLM served it."""
    inputs["spec"]["backendFramework"] = "vllm"
    config = {"kv_connector": "NixlConnector", "kv_connector_extra_config": {"backends": [backend]}}
    for role in ("prefill", "decode"):
        container(inputs, role)["command"] = ["python3", "-m", "dynamo.vllm"]
        container(inputs, role)["args"] = ["--kv-transfer-config", json.dumps(config), "--enable-cumem-allocator"]


@pytest.mark.parametrize(("backend", "verdict"), [("UCX", "pass"), ("LIBFABRIC", "fail")])
def test_vllm_over_nvlink_takes_ucx(backend: str, verdict: str) -> None:
    """LIBFABRIC has no way over NVLink: blocks would go through the network of a $762 rack."""
    found = BY_ID["kv-transport"].verdicts(edit(DGD, lambda i: nvlink_vllm(i, backend))(recorded(RACK)))
    assert {item.verdict for item in found} == {verdict}
    if verdict == "fail":
        assert 'does not choose UCX ("backends"), which alone moves blocks over NVLink' in found[0].message


def test_libfabric_of_the_pools_is_still_asked_for() -> None:
    found = BY_ID["kv-transport"].verdicts(edit(DGD, no_backends)(recorded("g7e-staging")))
    assert "LIBFABRIC" in found[0].message


def test_releases_are_compared_as_they_were_made() -> None:
    """A release candidate that counted as newer than its release would let an operator in that lacks the fix."""
    line = [
        "v0.1.0-alpha.9",
        "v0.1.0-alpha.13",
        "v0.1.0-alpha.14-rc1",
        "v0.1.0-alpha.14",
        "v0.1.0-beta.1",
        "v0.1.0",
        "v0.1.1",
        "v0.17.0",
        "v0.18",
        "v0.18.1",
    ]
    for position, one in enumerate(line):
        for other_position, other in enumerate(line):
            for without in (one, one.removeprefix("v")):
                assert _older(without, other) == (position < other_position), (without, other)


def test_blocks_are_read_from_what_the_program_asked() -> None:
    """The rules compare with EC2's dates, not with the settings that they check."""
    for stack, nodes in ((RACK, {"rack-a": 18}), (PAIR, {"rack-a": 9, "rack-b": 9})):
        seen = racks(recorded(stack))
        assert {name: rack.nodes for name, rack in seen.items()} == nodes
        for rack in seen.values():
            assert rack.start and rack.end and rack.drain and rack.window
            assert rack.gpus == rack.nodes * 4 and rack.type == f"u-p6e-gb200x{rack.gpus}"
            assert rack.template is not None and rack.reservation.startswith("cr-")

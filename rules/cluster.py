"""Rules about the control plane."""

from __future__ import annotations

from collections.abc import Iterator

from components.aws_values import is_open
from recording.graph import Graph
from rules.model import Finding, Looked, rule

CLUSTER = "aws:eks/cluster:Cluster"


@rule(
    "auto-mode-flags",
    "Compute, block storage and load balancing are switched on together, and self-managed add-ons are off.",
    "EKS refuses a mixture with InvalidParameter; turning the add-ons on later replaces the cluster (pulumi-eks #1597).",
    of="program",
)
def auto_mode_flags(graph: Graph) -> Iterator[Finding | Looked]:
    for node in graph.of(CLUSTER):
        yield Looked(node.name)
        flags = {
            "computeConfig.enabled": (node.inputs.get("computeConfig") or {}).get("enabled"),
            "storageConfig.blockStorage.enabled": (
                (node.inputs.get("storageConfig") or {}).get("blockStorage") or {}
            ).get("enabled"),
            "kubernetesNetworkConfig.elasticLoadBalancing.enabled": (
                (node.inputs.get("kubernetesNetworkConfig") or {}).get("elasticLoadBalancing") or {}
            ).get("enabled"),
        }
        for flag, value in flags.items():
            if value is not True:
                yield Finding(node.name, f"{flag} is {value}; all three flags of Auto Mode must be literally true")
        if node.inputs.get("bootstrapSelfManagedAddons") is not False:
            yield Finding(
                node.name, "bootstrapSelfManagedAddons must be false from birth; changing it replaces the cluster"
            )


@rule(
    "endpoint-closed",
    "The API endpoint is stated and not open to the whole internet.",
    "EKS's default is public and open to 0.0.0.0/0 when a boolean is left out.",
    of="stack",
)
def endpoint_closed(graph: Graph) -> Iterator[Finding | Looked]:
    for node in graph.of(CLUSTER):
        yield Looked(node.name)
        vpc = node.inputs.get("vpcConfig") or {}
        for flag in ("endpointPublicAccess", "endpointPrivateAccess"):
            if not isinstance(vpc.get(flag), bool):
                yield Finding(node.name, f"vpcConfig.{flag} is not given, and EKS's default is public; state it")
        if vpc.get("endpointPublicAccess") and is_open(vpc.get("publicAccessCidrs") or ["0.0.0.0/0"]):
            yield Finding(
                node.name,
                "the API endpoint is open to 0.0.0.0/0 (cluster.allowOpenEndpoint); name ranges unless that is meant",
                "warn",
            )
        if vpc.get("endpointPublicAccess") is False and not vpc.get("endpointPrivateAccess"):
            yield Finding(node.name, "the endpoint is reachable neither from outside nor from inside the VPC")


@rule(
    "secrets-encrypted",
    "Kubernetes Secrets are encrypted with a key of ours.",
    "The Hugging Face token would lie in etcd under a key nobody here can revoke.",
    of="program",
)
def secrets_encrypted(graph: Graph) -> Iterator[Finding | Looked]:
    for node in graph.of(CLUSTER):
        yield Looked(node.name)
        encryption = node.inputs.get("encryptionConfig") or {}
        if not (encryption.get("provider") or {}).get("keyArn") or encryption.get("resources") != ["secrets"]:
            yield Finding(node.name, "encryptionConfig names no key for secrets; pass encryption_config_key_arn")


@rule(
    "kubernetes-support",
    "The Kubernetes version is in standard support.",
    "In extended support the control plane costs $0.60 instead of $0.10 an hour; under STANDARD it is upgraded unasked.",
    of="stack",
)
def kubernetes_support(graph: Graph) -> Iterator[Finding | Looked]:
    from components import catalog

    for node in graph.of(CLUSTER):
        yield Looked(node.name)
        version = str(node.inputs.get("version"))
        known = catalog.KUBERNETES.get(version)
        ends = known.standard_support_ends if known else None
        if known is None:
            yield Finding(
                node.name,
                f"Kubernetes {version} is not in the catalogue; choose one of {', '.join(catalog.KUBERNETES)}",
            )
        elif ends is not None and ends <= graph.at.date():
            yield Finding(node.name, f"standard support of {version} ended on {ends}; raise cluster.version", "warn")
        elif ends is not None and (ends - graph.at.date()).days < 60:
            yield Finding(node.name, f"standard support of {version} ends on {ends}; plan the upgrade", "warn")


@rule(
    "one-provider",
    "Every resource names its provider, and it is of the right package.",
    "Without one, the shell's kubeconfig or credentials decide where things go; one of a wrong package is ignored silently.",
    of="program",
)
def one_provider(graph: Graph) -> Iterator[Finding | Looked]:
    for node in graph:
        if not node.custom or node.package == "pulumi":
            continue
        yield Looked(node.name)
        if node.provider is None:
            yield Finding(node.name, f"{node.type} has no explicit provider; hand it down from its component")
        elif node.provider_mismatch:
            yield Finding(node.name, f"{node.type} was given {node.provider}, which Pulumi ignores without a word")
    for node in graph.of("pulumi:providers:kubernetes"):
        if node.assumed is None and not node.inputs.get("clusterIdentifier"):
            yield Finding(
                node.name, "has no clusterIdentifier; a changed kubeconfig would replace everything in the cluster"
            )


@rule(
    "names-unique",
    "No two resources share type and name.",
    "The engine refuses duplicate URNs in the middle of an update.",
    of="program",
)
def names_unique(graph: Graph) -> Iterator[Finding | Looked]:
    seen: set[str] = set()
    for node in graph:
        yield Looked(node.name)
        if node.key in seen:
            yield Finding(node.name, f"{node.type} is registered twice under this name")
        seen.add(node.key)
    objects: set[tuple[str, str | None, str]] = set()
    for item in graph.objects:
        identity = (f"{item.manifest.get('apiVersion')}/{item.kind}", item.namespace, item.name)
        if item.name and identity in objects:
            yield Finding(item.address, "two resources render this object; they would overwrite each other")
        objects.add(identity)

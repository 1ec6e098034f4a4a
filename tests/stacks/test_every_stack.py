"""What holds for every shipped stack, in an update and in a first preview."""

from __future__ import annotations

import json

import pytest

from components.dynamo.exposure import TAGS_ANNOTATION
from recording.graph import SECRET, UNKNOWN, Graph
from recording.recorder import record
from review import report
from review.plan import Plan, make
from rules import RULES, judge
from stacks import stackfile
from tests.conftest import AT, STACKS, recorded

TOKEN = "hf_" + "q" * 34


def test_no_rule_fails_or_warns(every: Graph) -> None:
    """A shipped stack with a warning teaches people to overlook warnings."""
    assert [verdict for verdict in judge(every) if verdict.verdict != "pass"] == []


def test_every_resource_has_its_parent_and_provider(every: Graph) -> None:
    """A resource without a provider takes the shell's kubeconfig or credentials: another cluster, another account."""
    for node in every:
        if not node.custom or node.package == "pulumi":
            continue
        assert node.parent is not None, node.key
        assert node.provider is not None and not node.provider_mismatch, node.key
        assert node.provider.startswith(f"pulumi:providers:{node.package}::"), node.key


def test_every_read_has_its_provider(every: Graph) -> None:
    """A question put to the default provider is answered for the shell's region and account: zones that the stack's region
    does not have, a Capacity Block that is not found."""
    for read in every.reads:
        if not read.token.startswith("pulumi:"):
            package = read.token.split(":", 1)[0]
            assert (read.provider or "").startswith(f"pulumi:providers:{package}::"), read.token


def test_dependencies_were_registered_before(every: Graph) -> None:
    """A dependency on something unregistered is no dependency: the engine drops it."""
    seen = set()
    for node in every:
        assert set(node.depends_on) <= seen, node.key
        seen.add(node.key)


def test_update_and_preview_register_the_same() -> None:
    """What a preview does not show was not reviewed."""
    for stack in STACKS:
        update, preview = recorded(stack), recorded(stack, True)
        assert [node.key for node in update] == [node.key for node in preview]
        assert [node.depends_on for node in update] == [node.depends_on for node in preview]
        assert [(node.protect, node.retain_on_delete) for node in update] == [
            (node.protect, node.retain_on_delete) for node in preview
        ]


def test_a_preview_knows_no_ids() -> None:
    """Code that branches on an id works in tests and fails in the first preview of an empty account."""
    for stack in STACKS:
        graph = recorded(stack, True)
        assert all(node.id == UNKNOWN or not node.id for node in graph if node.package == "aws"), stack


def test_stateful_things_are_protected(every: Graph) -> None:
    """One wrong edit otherwise deletes the cluster, the models or the reservation."""
    for type_ in ("aws:eks/cluster:Cluster", "aws:efs/fileSystem:FileSystem", "aws:kms/key:Key",
                  "aws:ec2/capacityReservation:CapacityReservation"):  # fmt: skip
        for node in every.of(type_):
            assert node.protect, node.key


def test_existing_cluster_takes_nothing_from_aws() -> None:
    """Whoever tries the program on a laptop has no account, and must not need one."""
    graph = recorded("mocker-local")
    assert {node.package for node in graph} == {"pulumi", "kubernetes", "dynamo-eks"}
    assert graph.of("pulumi:providers:aws") == []
    assert [read.token for read in graph.reads if read.token.startswith("aws:")] == []


def test_outputs_tell_the_next_command(every: Graph) -> None:
    outputs = every.outputs
    assert outputs["kubeconfigCommand"] and outputs["platformNamespace"] == "dynamo-system"
    graphs = every.objects_of("DynamoGraphDeployment")
    assert set(outputs["graphs"]) == {item.name for item in graphs}
    for item in graphs:
        told = outputs["graphs"][item.name]
        assert {"namespace", "service", "model", "portForward", "curl"} <= set(told)
    if every.of("aws:eks/cluster:Cluster"):
        assert {"cluster", "region", "vpcId", "efsFileSystemId"} <= set(outputs)


def test_two_graphs_of_a_namespace_do_not_collide(every: Graph) -> None:
    """Frontends that share a Dynamo namespace route to each other's workers."""
    seen = set()
    for item in every.objects:
        identity = (item.kind, item.namespace, item.name)
        assert identity not in seen, identity
        seen.add(identity)
    services = [told["service"] for told in every.outputs["graphs"].values()]
    assert len(services) == len(set(services))


@pytest.mark.parametrize("stack", STACKS)
def test_plan_is_the_same_twice(stack: str) -> None:
    """A plan that differs from run to run cannot be reviewed."""
    file = stackfile.read(stack)
    again = make(file, at=AT)
    before = Plan(stack, recorded(stack), again.verdicts, again.notes, again.to_fill_in)
    assert json.dumps(report.as_json(before)) == json.dumps(report.as_json(again))


@pytest.mark.parametrize("stack", STACKS)
def test_machine_contract(stack: str) -> None:
    """The keys that pull-request bots read; docs/plan.md promises them."""
    document = report.as_json(Plan(stack, recorded(stack), tuple(judge(recorded(stack))), ()))
    assert set(document) == {
        "stack", "resources", "objects", "destroyOrder", "rules", "assumptions", "outputs", "blocks", "models", "interruptions",
        "timeline", "toFillIn", "cost",
    }  # fmt: skip
    assert set(document["resources"][0]) == {
        "type", "name", "parent", "provider", "dependsOn", "protect", "retainOnDelete", "replacementTrigger", "id", "custom", "step",
        "assumed", "inputs",
    }  # fmt: skip
    assert {item["verdict"] for item in document["rules"]} <= {"pass", "warn", "fail"}


def test_enough_rules_apply() -> None:
    applied = {verdict.id for stack in STACKS for verdict in judge(recorded(stack))}
    assert len(applied) >= 15
    assert applied <= {item.id for item in RULES}


def test_no_token_is_in_clear() -> None:
    """State, previews, pull requests and logs are read by many."""
    file = stackfile.read("g6e-dev")
    config = {
        **file.config,
        "dynamo-eks:huggingFaceToken": TOKEN,
        "dynamo-eks:imagePullPassword": TOKEN[::-1],
        "dynamo-eks:dynamo": {"version": "1.5.0", "imagePullSecret": {"server": "nvcr.io"}},
    }
    secret_keys = ("dynamo-eks:huggingFaceToken", "dynamo-eks:imagePullPassword")
    for preview in (False, True):
        graph = record("g6e-dev", config, secret_keys=secret_keys, preview=preview, at=AT)
        plan = Plan("g6e-dev", graph, tuple(judge(graph)), ())
        text = json.dumps(report.as_json(plan)) + report.markdown(plan) + repr(graph.nodes)
        assert TOKEN not in text and TOKEN[::-1] not in text
        secrets = graph.objects_of("Secret")
        assert {item.name for item in secrets} >= {"hugging-face"} or len(secrets) >= 2
        for item in secrets:
            held = item.manifest.get("stringData") or item.manifest.get("data")
            assert held == SECRET or set(held.values()) == {SECRET}


def test_tags_reach_what_karpenter_launches() -> None:
    """Tags of the provider do not; an untagged p5 is found on the bill a month later."""
    for stack in STACKS:
        graph = recorded(stack)
        for item in graph.objects_of("NodeClass"):
            provider = graph.one("pulumi:providers:aws")
            tags = provider.inputs["defaultTags"]
            tags = json.loads(tags) if isinstance(tags, str) else tags
            assert dict(tags["tags"]).items() <= dict(item.manifest["spec"]["tags"]).items()
            assert {"project", "stack"} <= set(item.manifest["spec"]["tags"])


def test_tags_reach_what_the_cluster_makes() -> None:
    """A volume or a load balancer without them is on nobody's bill, and no destroy finds it by the stack's name."""
    seen = set()
    for stack in STACKS:
        graph = recorded(stack)
        if not graph.of("pulumi:providers:aws"):
            assert "tagSpecification_1" not in json.dumps([item.manifest for item in graph.objects])
            continue
        tags = graph.one("pulumi:providers:aws").inputs["defaultTags"]
        wanted = dict((json.loads(tags) if isinstance(tags, str) else tags)["tags"])
        (volumes,) = [
            item.manifest["parameters"] for item in graph.objects_of("StorageClass") if item.name == "auto-ebs-sc"
        ]
        found = [value for key, value in volumes.items() if key.startswith("tagSpecification_")]
        assert dict(text.split("=", 1) for text in found) == wanted
        for item in graph.objects_of("Service"):
            if item.manifest["spec"].get("type") == "LoadBalancer":
                text = item.manifest["metadata"]["annotations"][TAGS_ANNOTATION]
                assert dict(pair.split("=", 1) for pair in text.split(",")) == wanted
                seen.add(stack)
    assert seen


def test_what_drains_is_given_time(every: Graph) -> None:
    """The engine's own limit is ten minutes: a pool that still drains is reported as failed, and the destroy stops there."""
    for node in every.of("kubernetes:karpenter.sh/v1:NodePool"):
        assert node.timeouts["delete"] == "45m"
    for node in every.of("kubernetes:nvidia.com/v1beta1:DynamoGraphDeployment"):
        assert node.timeouts["delete"] == "30m"
    for node in every.of("kubernetes:batch/v1:Job"):
        assert int(node.timeouts["create"].removesuffix("m")) >= 5


def test_a_download_may_take_what_the_stack_says() -> None:
    file = stackfile.read("mocker-local")
    config = json.loads(json.dumps(dict(file.config)))
    config["dynamo-eks:models"]["qwen3-0-6b"]["download"]["timeoutMinutes"] = 345
    graph = record("mocker-local", config, at=AT)
    (job,) = [node for node in graph.of("kubernetes:batch/v1:Job") if node.name.startswith("cache")]
    assert job.timeouts["create"] == "345m"


def test_protection_is_released_by_its_settings_alone() -> None:
    """Otherwise a stack can never be destroyed, or is destroyed by accident."""
    file = stackfile.read("p5-reserved")
    config = json.loads(json.dumps(dict(file.config)))
    config["dynamo-eks:cluster"].update(protect=False, deletionProtection=False)
    config["dynamo-eks:storage"] = {"efs": {"protect": False}}
    config["dynamo-eks:capacity"]["pools"]["reserved"]["reservations"][0]["protect"] = False
    graph = record("p5-reserved", config, at=AT)
    assert [node.key for node in graph if node.protect] == []
    assert {verdict.subject for verdict in judge(graph) if verdict.id == "protected"} >= {"files-efs"}
    kept = {node.type for node in recorded("p5-reserved") if node.protect}
    assert {
        "aws:ec2/capacityReservation:CapacityReservation",
        "aws:efs/fileSystem:FileSystem",
        "aws:kms/key:Key",
    } <= kept


def test_fixed_names_make_way_before_they_are_taken_again(every: Graph) -> None:
    """A replacement made first collides with the old object's name, and `up` fails there for ever."""
    for type_ in ("kubernetes:storage.k8s.io/v1:StorageClass", "kubernetes:nvidia.com/v1beta1:DynamoGraphDeployment"):
        assert all(node.delete_before_replace for node in every.of(type_))


def test_the_platform_and_its_downloads_make_way(every: Graph) -> None:
    """In another namespace the platform is a second release of the same cluster roles, which Helm refuses to take over; and
    a download is made again under the name of the one whose claim is gone."""
    for node in every.of("kubernetes:helm.sh/v3:Release"):
        if node.name == "platform-release":
            assert node.delete_before_replace
    for node in every.of("kubernetes:batch/v1:Job"):
        if node.name.startswith("cache-"):
            assert node.delete_before_replace, node.name


def test_only_claims_of_our_own_class_keep_their_size(every: Graph) -> None:
    """EFS claims cannot be resized: an edit of the size would be refused, and with it the whole `up`. In a cluster that is
    there already the class may resize, and an edit that is ignored fills the disk."""
    ours = bool(every.of("aws:eks/cluster:Cluster"))
    for node in every.of("kubernetes:core/v1:PersistentVolumeClaim"):
        assert node.ignore_changes == (("spec.resources.requests.storage",) if ours else ()), node.name


def test_what_reads_a_cache_is_made_again_with_its_claim(every: Graph) -> None:
    """A claim made again is empty: the download that filled the old one would not run a second time, and workers would keep
    the old claim from going."""
    readers = [node for node in every.of("kubernetes:batch/v1:Job") if node.name.startswith("cache-")]
    readers += every.of("kubernetes:nvidia.com/v1beta1:DynamoGraphDeployment")
    assert readers
    for node in readers:
        theirs = every.objects_of("PersistentVolumeClaim")
        expected = {item.node.key for item in theirs if item.namespace == node.inputs["metadata"]["namespace"]}
        assert expected and set(node.replace_with) == expected, node.name

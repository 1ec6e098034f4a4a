"""Keys of the providers: honoured, or refused with the way to get the same. None is passed over."""

from __future__ import annotations

import inspect
import json
from typing import Any

import jsonschema
import pulumi_aws
import pytest
from pydantic.alias_generators import to_camel

from recording.graph import Graph
from recording.recorder import record
from stacks import provider_keys
from stacks.faults import full_key
from stacks.settings import Settings, identity, schema
from tests.conftest import AT
from tests.stacks.edited import ABSENT, Changes, edited, parsed, rows, told

ROLE = "arn:aws:iam::111122223333:role/team/deploy"
ACCOUNT = "111122223333"
EXISTING = {"cluster": {"existing": {"kubeconfig": "~/.kube/config", "context": "kind"}}, "capacity": ABSENT,
            "storage.storageClass": "standard", "graphs": ABSENT, "models": ABSENT}  # fmt: skip


def test_every_key_of_the_aws_provider_is_in_a_table() -> None:
    """A key that the table lacks is one that a team sets and nobody obeys."""
    own = set(inspect.signature(pulumi_aws.Provider._internal_init).parameters) - {
        "__self__",
        "resource_name",
        "opts",
        "__props__",
    }
    keys = {to_camel(name) for name in own}
    assert "assumeRoles" in keys and len(keys) > 30
    # The one more is the old name of assumeRoles.
    assert keys | {"assumeRole"} == {*provider_keys.KNOWN, *provider_keys.REFUSED}
    assert not {*provider_keys.KNOWN} & {*provider_keys.REFUSED}


@pytest.mark.parametrize("name", provider_keys.REFUSED)
def test_a_key_without_effect_is_refused(name: str) -> None:
    """Passed over, it lets a team believe in a proxy, a region of STS or a list of accounts that nobody looks at."""
    refused = provider_keys.REFUSED[name]
    shown = '"[hidden]"' if name in ("accessKey", "secretKey", "token") else '"x"'
    assert told("ordinary", {f"aws:{name}": "x"}) == [
        f"aws:{name} | given {shown} | expected {refused.why} | fix {refused.instead}"
    ]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("aws:profil", "did you mean aws:profile?"),
        ("dynamo-ek:tags", "no key of a package dynamo-ek; did you mean dynamo-eks:tags?"),
        ("dynamo_eks:network", "did you mean dynamo-eks:network?"),
        ("aws:allowedAccountId", "did you mean aws:allowedAccountIds?"),
        ("aws:x", "honoured are aws:region, aws:profile, aws:assumeRoles, aws:allowedAccountIds | fix"),
        ("kubernetes:context", "cluster.existing"),
        ("kubernetes:kubeconfig", "cluster.existing"),
        ("eks:anything", "dynamo-eks:cluster"),
    ],
)
def test_other_keys_of_the_programs_packages(key: str, says: str) -> None:
    """A misspelt profile is the shell's identity; a context of the Kubernetes provider is nobody's."""
    (line,) = told("ordinary", {key: "x"})
    assert line.startswith(f'{key} | given "x"') and says in line


def test_keys_of_others_stand() -> None:
    """The engine's own keys, and those that other tools read, are no business of this program."""
    assert told("ordinary", {"pulumi:tags": {"a": "b"}, "policies:strict": True}) == []


_ACCOUNT_WORDS = (
    'expected an AWS account in quotes, 12 digits, such as "111122223333" (without quotes YAML drops a leading 0)'
)
_TEXT = "expected text"
_NO_EXTERNAL = (
    "expected no such key: the kubeconfig's token command (`aws eks get-token --role-arn`) cannot send one; "
    "put role_arn and what it needs into a profile of ~/.aws/config, and name that in aws:profile"
)

VALUES: list[tuple[Any, ...]] = [
    ("an account", {"account": ACCOUNT}),
    ("an account with a leading zero", {"account": "000000000012"}),
    ("no account", {"account": ""}, f'account | given "" | {_ACCOUNT_WORDS}'),
    ("the account of documentation", {"account": "123456789012"}, 'account | given "123456789012" | expected the AWS account, 12 digits; 123456789012 stands in documentation and is nobody\'s | fix aws sts get-caller-identity --query Account --output text'),
    ("an account to fill in", {"account": "<account-id>"}),
    ("an account without quotes", {"account": 111122223333}, f"account | given 111122223333 | {_TEXT}"),
    ("an account of 11 digits", {"account": "12345678901"}, f'account | given "12345678901" | {_ACCOUNT_WORDS}'),
    ("an account with dashes", {"account": "1234-5678-9012"}, f'account | given "1234-5678-9012" | {_ACCOUNT_WORDS}'),
    ("an account that is an object", {"account": {"id": ACCOUNT}}, f'account | given {{"id": "{ACCOUNT}"}} | {_TEXT}'),
    ("a profile", {"aws:profile": "platform.dev@2"}),
    ("no profile", {"aws:profile": ""}, 'aws:profile | given "" | expected the name of a profile in ~/.aws/config, such as platform'),
    ("a profile that is an option", {"aws:profile": "--debug"}, 'aws:profile | given "--debug" | expected the name of a profile in ~/.aws/config, such as platform'),
    ("a profile of two words", {"aws:profile": "a b"}, 'aws:profile | given "a b" | expected the name of a profile in ~/.aws/config, such as platform'),
    ("a profile that is a number", {"aws:profile": 5}, f"aws:profile | given 5 | {_TEXT}"),
    ("allowed accounts", {"aws:allowedAccountIds": [ACCOUNT, "210987654321"]}),
    ("an allowed account as text", {"aws:allowedAccountIds": ACCOUNT}, f'aws:allowedAccountIds | given "{ACCOUNT}" | expected a list'),
    ("no allowed account", {"aws:allowedAccountIds": []}, "aws:allowedAccountIds | given [] | expected at least one item"),
    ("an allowed account without quotes", {"aws:allowedAccountIds": [111122223333]}, f"aws:allowedAccountIds[0] | given 111122223333 | {_TEXT}"),
    ("both, and they agree", {"account": ACCOUNT, "aws:allowedAccountIds": [ACCOUNT]}),
    ("both, and they differ", {"account": ACCOUNT, "aws:allowedAccountIds": ["210987654321"]}, f'aws:allowedAccountIds | given ["210987654321"] | expected the account of dynamo-eks:account alone ({ACCOUNT}) | fix remove aws:allowedAccountIds; dynamo-eks:account says the same'),
    ("both, and one is wider", {"account": ACCOUNT, "aws:allowedAccountIds": [ACCOUNT, "210987654321"]}, f'aws:allowedAccountIds | given ["{ACCOUNT}", "210987654321"] | expected the account of dynamo-eks:account alone ({ACCOUNT}) | fix remove aws:allowedAccountIds; dynamo-eks:account says the same'),
    ("a role", {"aws:assumeRoles": [{"roleArn": ROLE, "sessionName": "deploy", "duration": "1h30m"}]}),
    ("a role of the account", {"account": ACCOUNT, "aws:assumeRoles": [{"roleArn": ROLE}]}),
    ("a role of another account", {"account": "210987654321", "aws:assumeRoles": [{"roleArn": ROLE}]}, f'aws:assumeRoles[0].roleArn | given "{ROLE}" | expected a role of the stack\'s own account (210987654321), since that is where it leads'),
    ("a role of none of the accounts", {"aws:allowedAccountIds": ["210987654321"], "aws:assumeRoles": [{"roleArn": ROLE}]}, f'aws:assumeRoles[0].roleArn | given "{ROLE}" | expected a role of the stack\'s own account (210987654321), since that is where it leads'),
    ("a role that is a user", {"aws:assumeRoles": [{"roleArn": "arn:aws:iam::111122223333:user/a"}]}, 'aws:assumeRoles[0].roleArn | given "arn:aws:iam::111122223333:user/a" | expected the ARN of an IAM role, such as arn:aws:iam::111122223333:role/deploy'),
    ("a role without its ARN", {"aws:assumeRoles": [{}]}, "aws:assumeRoles[0].roleArn | expected a value; the key is required | add | aws:assumeRoles: # item 0 | roleArn: arn:aws:iam::111122223333:role/deploy"),
    ("a role as text", {"aws:assumeRoles": ROLE}, f'aws:assumeRoles | given "{ROLE}" | expected a list'),
    ("two roles", {"aws:assumeRoles": [{"roleArn": ROLE}, {"roleArn": ROLE}]}, f'aws:assumeRoles | given [{{"roleArn": "{ROLE}"}}, {{"roleArn": "{ROLE}"}}] | expected at most 1 of them (these are 2); put a chain of roles into a profile of ~/.aws/config, and name that in aws:profile'),
    ("a session name with a space", {"aws:assumeRoles": [{"roleArn": ROLE, "sessionName": "a b"}]}, 'aws:assumeRoles[0].sessionName | given "a b" | expected 2 to 64 letters, digits and +=,.@-'),
    ("a duration in words", {"aws:assumeRoles": [{"roleArn": ROLE, "duration": "an hour"}]}, 'aws:assumeRoles[0].duration | given "an hour" | expected a duration from 15m to 12h, such as 1h30m'),
    ("the shortest duration", {"aws:assumeRoles": [{"roleArn": ROLE, "duration": "15m"}]}),
    ("the longest duration", {"aws:assumeRoles": [{"roleArn": ROLE, "duration": "12h"}]}),
    ("a duration that is too short", {"aws:assumeRoles": [{"roleArn": ROLE, "duration": "14m59s"}]}, 'aws:assumeRoles[0].duration | given "14m59s" | expected a duration from 15m to 12h, as STS takes it'),
    ("a duration that is too long", {"aws:assumeRoles": [{"roleArn": ROLE, "duration": "12h1s"}]}, 'aws:assumeRoles[0].duration | given "12h1s" | expected a duration from 15m to 12h, as STS takes it'),
    *((f"a role with {name}", {"aws:assumeRoles": [{"roleArn": ROLE, name: "x"}]}, f'aws:assumeRoles[0].{name} | given "x" | {_NO_EXTERNAL}')
      for name in ("externalId", "policy", "policyArns", "sourceIdentity", "tags", "transitiveTagKeys")),
    ("an account with an existing cluster", {**EXISTING, "account": ACCOUNT}, f'account | given "{ACCOUNT}" | expected no such key together with cluster.existing, which asks nothing of AWS | fix remove it'),
    ("a profile with an existing cluster", {**EXISTING, "aws:profile": "a"}, 'aws:profile | given "a" | expected no such key together with cluster.existing, which asks nothing of AWS | fix remove it'),
    ("a role with an existing cluster", {**EXISTING, "aws:assumeRoles": [{"roleArn": ROLE}]}, f'aws:assumeRoles | given ["{ROLE}"] | expected no such key together with cluster.existing, which asks nothing of AWS | fix remove it'),
]  # fmt: skip


@rows(VALUES)
def test_values(changes: Changes, faults: list[str]) -> None:
    """A profile becomes a word of a command line, an account a refusal in the middle of the night."""
    assert told("ordinary", changes) == faults


def test_what_settings_hold() -> None:
    """What is read and not handed on has no effect."""
    made = parsed("ordinary", {"account": ACCOUNT, "aws:profile": "p", "aws:assumeRoles": [{"roleArn": ROLE}]})
    assert (made.accounts, made.profile, made.assume_role and made.assume_role.role_arn) == ((ACCOUNT,), "p", ROLE)
    made = parsed("ordinary", {"aws:allowedAccountIds": [ACCOUNT, "210987654321"]})
    assert (made.accounts, made.profile, made.assume_role) == ((ACCOUNT, "210987654321"), None, None)
    assert parsed("ordinary", {}).accounts == ()


def test_an_account_to_fill_in() -> None:
    """The plan goes on with what stands in; a command that asks AWS takes it for no account at all."""
    made = parsed("ordinary", {"account": "<account-id>"})
    assert made.accounts == ("123456789012",) and "account" in [item.key for item in made.to_fill_in]
    assert identity(edited("ordinary", {"account": "<account-id>"})).accounts == ()


def test_the_engines_text_is_read_alike() -> None:
    """The engine hands lists over as JSON, and an account of digits alone as it is: no number of JSON's."""
    given = {
        "account": ACCOUNT,
        "aws:allowedAccountIds": [ACCOUNT],
        "aws:assumeRoles": [{"roleArn": ROLE}],
        "aws:profile": "12",
    }
    values = edited("ordinary", given)
    wire = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    made = Settings.parse("ordinary", wire, at=AT)
    assert (made.accounts, made.profile, made.assume_role and made.assume_role.role_arn) == ((ACCOUNT,), "12", ROLE)


def test_identity_of_a_faulty_file() -> None:
    """`make recover` must know the account also while a file is wrong somewhere else."""
    found = identity(
        edited("ordinary", {"network": "x", "account": ACCOUNT, "aws:profile": "p", "aws:assumeRoles": "x"})
    )
    assert (found.region, found.accounts, found.profile, found.assume_role) == ("us-east-1", (ACCOUNT,), "p", None)


@pytest.mark.parametrize(
    ("key", "value", "good"),
    [
        ("aws:profile", "a", True), ("aws:profile", "a b", False), ("aws:profil", "a", False), ("aws:accessKey", "a", False),
        ("aws:assumeRoles", [{"roleArn": ROLE}], True), ("aws:assumeRoles", [{"roleArn": ROLE, "externalId": "x"}], False),
        ("aws:allowedAccountIds", [ACCOUNT], True), ("aws:allowedAccountIds", [111122223333], False),
        ("dynamo-eks:account", ACCOUNT, True), ("dynamo-eks:account", 111122223333, False),
        ("kubernetes:context", "a", False), ("eks:x", "a", False), ("pulumi:tags", {"a": "b"}, True), ("policies:x", 1, True),
    ],
)  # fmt: skip
def test_editors_are_told_the_same(key: str, value: Any, good: bool) -> None:
    """What an editor lets stand and the program refuses is found out a minute before the meeting."""
    config = schema()["properties"]["config"]
    document = {"$defs": schema()["$defs"], **config}
    values = {"aws:region": "us-east-1", "dynamo-eks:cluster": {"publicAccessCidrs": []}, key: value}
    assert jsonschema.Draft202012Validator(document).is_valid(values) == good


def test_a_faults_key_is_the_files_own() -> None:
    """A report that names a key with a prefix it has not sends people looking for it."""
    assert full_key("aws:profile") == "aws:profile"
    assert full_key("kubernetes:context") == "kubernetes:context"
    assert full_key("tags.team:cost") == "dynamo-eks:tags.team:cost"


# --- what becomes of them --------------------------------------------------------------------------------------------


def _graph(changes: Changes, *, preview: bool = False) -> Graph:
    return record("ordinary", edited("ordinary", changes), at=AT, preview=preview)


@pytest.fixture(scope="module")
def plain() -> Graph:
    return _graph({})


@pytest.fixture(scope="module")
def pinned() -> Graph:
    role = {"roleArn": ROLE, "sessionName": "deploy", "duration": "1h"}
    return _graph({"account": ACCOUNT, "aws:profile": "platform", "aws:assumeRoles": [role]})


def _own(graph: Graph) -> Any:
    return graph.one("pulumi:providers:aws", "aws").inputs


def _command(graph: Graph) -> list[str]:
    kubeconfig = json.loads(graph.one("pulumi:providers:kubernetes", "kubernetes").inputs["kubeconfig"])
    (user,) = kubeconfig["users"]
    return [user["user"]["exec"]["command"], *user["user"]["exec"]["args"]]


def test_the_provider_is_handed_the_identity(plain: Graph, pinned: Graph) -> None:
    """An explicit provider reads no `aws:` key by itself: the shell's identity would make everything."""
    inputs = _own(pinned)
    assert inputs["profile"] == "platform"
    assert json.loads(inputs["allowedAccountIds"]) == [ACCOUNT]
    assert json.loads(inputs["assumeRoles"]) == [{"roleArn": ROLE, "sessionName": "deploy", "duration": "1h"}]
    assert not {"profile", "allowedAccountIds", "assumeRoles"} & {*_own(plain)}
    both = _own(_graph({"aws:allowedAccountIds": [ACCOUNT, "210987654321"]}))
    assert json.loads(both["allowedAccountIds"]) == [ACCOUNT, "210987654321"]


def test_the_clusters_token_is_of_the_same_identity(plain: Graph, pinned: Graph) -> None:
    """The role that makes the cluster is its only administrator; a token of the shell's identity is Unauthorized."""
    command = _command(pinned)
    assert command[:3] == ["aws", "--region", "us-east-1"]
    assert command[command.index("--profile") + 1] == "platform"
    assert command[command.index("--role-arn") + 1] == ROLE
    assert not {"--profile", "--role-arn"} & {*_command(plain)}
    printed = pinned.outputs["kubeconfigCommand"]
    assert f"--profile platform --assume-role-arn {ROLE} --role-arn {ROLE}" in printed
    assert (
        "--profile" not in plain.outputs["kubeconfigCommand"] and "--role-arn" not in plain.outputs["kubeconfigCommand"]
    )


def test_another_profile_moves_nothing(plain: Graph, pinned: Graph) -> None:
    """A new name of a profile in the kubeconfig must not replace the provider, and with it every object in the cluster."""
    before, after = (graph.one("pulumi:providers:kubernetes", "kubernetes").inputs for graph in (plain, pinned))
    assert before["kubeconfig"] != after["kubeconfig"]
    assert before["clusterIdentifier"] == after["clusterIdentifier"]
    for node in plain:
        if not node.type.startswith("pulumi:providers:"):
            assert pinned[node.key].inputs == node.inputs


def test_a_preview_shows_the_identity() -> None:
    """What only an `up` knows cannot be reviewed."""
    graph = _graph({"account": ACCOUNT, "aws:profile": "platform"}, preview=True)
    assert _own(graph)["profile"] == "platform"

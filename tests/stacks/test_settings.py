"""How a stack file is read, and in which words its faults are told."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from components.spec import MOMENT, moment_of
from recording import sdk
from stacks.faults import EXAMPLES, Fault, from_pydantic, listed, nearest, one_of, report
from stacks.settings import CLOCK, SOURCE, Settings, SettingsError, present, schema
from tests.stacks.edited import ABSENT, AT, Changes, edited, line, parsed, rows, told

P, C, Q, N = "capacity.pools.gpu", "graphs.chat", "models.qwen", "network"
SUB = "subnet-0123456789abcdef0"
ENCRYPTED = frozenset({"dynamo-eks:huggingFaceToken"})


def test_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan as of another day that is made for today shows a block that is over."""
    monkeypatch.setenv(CLOCK, "2026-12-08T10:00:00Z")
    assert present() == datetime(2026, 12, 8, 10, tzinfo=UTC)
    monkeypatch.delenv(CLOCK)
    before = datetime.now(UTC)
    assert before <= present() <= datetime.now(UTC)


def test_settings_are_what_the_file_says() -> None:
    """A section that is read and not handed on is a default in production."""
    changes = {
        "tags": {"team": "a"}, "network.cidr": "10.72.0.0/16", "cluster.version": "1.36",
        "storage.cacheSizeGib": 7, "dynamo.version": "1.6.1", "huggingFaceToken": "x", "imagePullPassword": None,
    }  # fmt: skip
    made = parsed("ordinary", changes, ENCRYPTED)
    assert (made.stack, made.region, made.at) == ("ordinary", "us-east-1", AT)
    assert (made.tags, made.secrets) == ({"team": "a"}, {"huggingFaceToken": "x"})
    assert (made.network.cidr, made.cluster.version, made.storage.cache_size_gib) == ("10.72.0.0/16", "1.36", 7)
    assert made.dynamo.version == "1.6.1"
    assert (list(made.capacity.pools), list(made.models), list(made.graphs)) == (["gpu"], ["qwen"], ["chat"])
    made = parsed("gb200", {"gpu.operator.version": "26.7.0"})
    assert (list(made.capacity.ultra_servers), made.gpu.operator.version) == (["rack-a"], "26.7.0")


def test_absent_sections_are_defaults() -> None:
    """Whoever leaves a section out gets what its page says."""
    made = parsed("ordinary", {"capacity": ABSENT, "models": ABSENT, "graphs": ABSENT})
    assert (made.capacity.pools, made.capacity.ultra_servers, made.models, made.graphs) == ({}, {}, {}, {})
    assert (made.tags, made.secrets, made.dynamo) == ({}, {}, type(made.dynamo)())


def test_the_cluster_is_named_by_its_stack() -> None:
    """Two stacks with one name of a cluster would be one cluster."""
    assert parsed("ordinary", {}).cluster_name == "dynamo-ordinary"
    assert parsed("ordinary", {"cluster.name": "mine"}).cluster_name == "mine"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Hands a changed file over as the engine does."""
    monkeypatch.setattr(pulumi, "get_stack", lambda: "ordinary")
    monkeypatch.setattr("pulumi.config.get_project", lambda: "a-fork")
    monkeypatch.setenv(CLOCK, "2026-12-02T12:00:00Z")

    def hand_over(changes: dict[str, Any]) -> None:
        values = edited("ordinary", changes)
        wire = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
        pulumi.runtime.set_all_config(wire, list(ENCRYPTED))

    yield hand_over
    pulumi.runtime.set_all_config({}, [])


def test_the_engine_hands_sections_over_as_json(engine: Callable[[dict[str, Any]], None]) -> None:
    """`pulumi up` and `make check` must find the same in a file."""
    changes = {"network.zones": 7, "tags": {"": "x"}}
    engine(changes)
    with pytest.raises(pulumi.RunError) as loaded:
        Settings.load(*sdk.configuration())
    with pytest.raises(SettingsError) as read:
        parsed("ordinary", changes)
    assert str(loaded.value) == str(read.value)


def test_a_fault_under_the_engine_has_its_line(
    engine: Callable[[dict[str, Any]], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine hands values over without their lines. A line of a file that says something else would mislead."""
    file = tmp_path / "Pulumi.ordinary.yaml"
    monkeypatch.setenv(SOURCE, str(file))

    def loaded(changes: dict[str, Any], written: dict[str, Any]) -> str:
        config = {key: value for key, value in edited("ordinary", written).items() if not key.startswith("pulumi:")}
        file.write_text(yaml.safe_dump({"config": config}))
        engine(changes)
        with pytest.raises(pulumi.RunError) as caught:
            Settings.load(*sdk.configuration())
        return str(caught.value)

    wrong = {"network.zones": 7}
    told_ = loaded(wrong, wrong)
    number = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if text.strip() == "zones: 7")
    assert f"    at        stacks/Pulumi.ordinary.yaml:{number}:5\n" in told_
    assert "    at   " not in loaded(wrong, {"network.zones": 8})
    assert "    at   " not in loaded(wrong, wrong | {"dynamo.check": False})
    assert "    at   " not in loaded(wrong | {"dynamo.check": False}, wrong)
    file.write_text(f"environment: [x]\n{file.read_text()}")
    with pytest.raises(pulumi.RunError, match=r"ordinary.yaml:1: environment: no `environment:` here"):
        Settings.load(*sdk.configuration())
    monkeypatch.setenv(SOURCE, "")
    with pytest.raises(pulumi.RunError) as caught:
        Settings.load(*sdk.configuration())
    assert "has 1 fault" in str(caught.value) and "    at   " not in str(caught.value)


def test_a_secret_stays_one(engine: Callable[[dict[str, Any]], None]) -> None:
    """A token that is handed on as text lies in the state for whoever can read it."""
    engine({"huggingFaceToken": "hf_x", "cluster.name": "mine"})

    async def secrets() -> dict[str, tuple[Any, bool]]:
        made = Settings.load(*sdk.configuration())
        assert (made.stack, made.cluster_name, made.at) == ("ordinary", "mine", AT)
        return {key: (await value.future(), await value.is_secret()) for key, value in made.secrets.items()}

    assert asyncio.run(secrets()) == {"huggingFaceToken": ("hf_x", True)}


def test_the_error_holds_what_it_tells() -> None:
    """`make check` counts the faults, and prints the report."""
    with pytest.raises(SettingsError) as caught:
        parsed("ordinary", {"dynamo.check": 1})
    assert caught.value.stack == "ordinary"
    assert [line(fault) for fault in caught.value.faults] == [
        "dynamo.check | given 1 | expected true or false, without quotes"
    ]
    assert str(caught.value) == report("ordinary", caught.value.faults)


def test_the_present_moment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that is over must not be planned for."""
    monkeypatch.setenv(CLOCK, "2027-01-01T00:00:00Z")
    assert [fault.split(" | ")[0] for fault in told("gb200", {}, at=None)] == ["capacity.ultraServers.rack-a.end"]
    monkeypatch.setenv(CLOCK, "2026-12-02T00:00:00Z")
    assert parsed("gb200", {}, at=None).at == datetime(2026, 12, 2, tzinfo=UTC)


# --- words ---------------------------------------------------------------------------------------------------------------


ID = "    id        x"


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        (Fault("x", "a.b", "c", 1), ["  dynamo-eks:a.b", "    given     1", "    expected  c", ID]),
        (Fault("x", "aws:region", "c", None), ["  aws:region", "    given     null", "    expected  c", ID]),
        (Fault("x", "dynamo-eks:a", "c", "ä", fix="d"), ["  dynamo-eks:a", '    given     "ä"', "    expected  c", "    fix       d", ID]),
        (Fault("x", "a", "c", add="x:\n  y"), ["  dynamo-eks:a", "    expected  c", "    add", "      x:", "        y", ID]),
        (Fault("x", "a", "c", AT), ["  dynamo-eks:a", "    given     2026-12-02T12:00:00Z", "    expected  c", ID]),
        (Fault("x", "a", "c", {1, 2}), ["  dynamo-eks:a", "    given     {1, 2}", "    expected  c", ID]),
        (Fault("x", "a", "c", "x" * 118), ["  dynamo-eks:a", f'    given     "{"x" * 118}"', "    expected  c", ID]),
        (Fault("x", "a", "c", "x" * 119), ["  dynamo-eks:a", f'    given     "{"x" * 116}...', "    expected  c", ID]),
    ],
    ids=["section", "region", "fix", "add", "moment", "no JSON", "as long as a line", "longer than a line"],
)  # fmt: skip
def test_a_fault_in_words(fault: Fault, lines: list[str]) -> None:
    """Whoever reads it at night finds the key, the value and what to do in the same places."""
    assert fault.lines() == lines


def test_a_report() -> None:
    """Faults are told by key, in the order of the file's own prefixes, whatever check found them."""
    head = "stacks/Pulumi.s.yaml has {}; nothing was registered:"
    one = "\n\n  dynamo-eks:b\n    given     1\n    expected  x\n    id        x"
    two = "\n\n  aws:region\n    given     2\n    expected  y\n    id        y"
    assert report("s", [Fault("x", "b", "x", 1)]) == head.format("1 fault") + one
    assert (
        report("s", [Fault("x", "b", "x", 1), Fault("y", "aws:region", "y", 2)]) == head.format("2 faults") + two + one
    )


@pytest.mark.parametrize(
    ("word", "close"),
    [("Zones", "zones"), ("zonse", "zones"), ("ZONEID", "zoneId"), ("zo", None), ("", None)],
)
def test_the_nearest_word(word: str, close: str | None) -> None:
    """A guess that is far off sends people the wrong way."""
    assert nearest(word, iter(["nat", "zoneId", "zones"])) == close


@pytest.mark.parametrize(
    ("word", "choices", "text"),
    [
        ("a", ["cat", "bat"], "one of bat, cat"),
        ("cad", ["cat", "bat"], "one of bat, cat; did you mean cat?"),
        ("31", ["30", "7", "365"], "one of 7, 30, 365"),
        (7, ["cat"], "one of cat"),
        ("cat", [], "one of (none is defined)"),
        ("1.7", ["1.6", "1.8"], "one of 1.6, 1.8"),
        ("1x", ["1y", "2"], "one of 1y, 2"),
        ("", ["1", "a"], "one of a, 1"),
    ],
)
def test_a_choice(word: Any, choices: list[str], text: str) -> None:
    """Numbers in the order of numbers, and no guess where the next number is as wrong as the one given."""
    assert one_of(word, choices) == text
    assert one_of(word, choices, "a pool:") == text.replace("one of", "a pool:")
    assert listed(choices) == text.split(";")[0]


def test_a_missing_key_inside_a_list() -> None:
    """Which of the items lacks the key is said beside them."""
    error = {"type": "missing", "loc": ("pools", 1, "part", "kind"), "input": {}}
    (fault,) = from_pydantic([error], "capacity", lambda path: [])
    assert (fault.key, fault.add) == (
        "capacity.pools[1].part.kind",
        "dynamo-eks:capacity:\n  pools:  # item 1\n    part:\n      kind: onDemand",
    )


def _required(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = set(part["required"]) if isinstance(part.get("required"), list) else set()
        # What is required beside something else is told by the checks, with lines of their own.
        return own.union(*(_required(value) for key, value in part.items() if key != "allOf"))
    return set().union(*map(_required, part)) if isinstance(part, list) else set()


@pytest.mark.parametrize(
    ("section", "most", "entry"),
    [
        ("models", 100, {"repository": "a/b", "revision": "0" * 40}),
        ("graphs", 100, {}),
        ("capacity.pools", 50, {"families": ["g6e"], "capacity": ["spot"]}),
        ("capacity.ultraServers", 30, {}),
    ],
)
def test_more_entries_than_a_plan_takes(section: str, most: int, entry: dict[str, Any]) -> None:
    """A file made by a loop that went wrong takes the machine for minutes, or more node groups than EKS allows a cluster."""
    at_most = f"{section} | given {most + 1} | expected at most {most} of them in one stack"
    many = [told("ordinary", {section: {f"x{n}": entry for n in range(count)}}) for count in (most, most + 1)]
    assert at_most not in many[0] and at_most in many[1]
    assert not [fault for fault in many[0] if "in one stack" in fault]


@pytest.mark.parametrize(
    ("stack", "fault"),
    [
        ("a" * 51, None),
        ("a" * 52, "has 59 characters"),
        ("a.b", "the key is required"),
    ],
)
def test_the_stacks_name_may_make_no_cluster(stack: str, fault: str | None) -> None:
    """EKS, EFS and IAM refuse the name after a network exists."""
    config = edited("ordinary", {})
    config["dynamo-eks:cluster"].pop("name", None)
    try:
        Settings.parse(stack, config, at=AT)
    except SettingsError as error:
        assert [each.id for each in error.faults] == ["cluster-name-derived"]
        assert fault and fault in error.faults[0].expected
    else:
        assert fault is None


def test_every_required_key_has_an_example() -> None:
    """A missing key is told with the line to add."""
    # Told by the rules between keys, with lines of their own.
    between = {
        "config",
        "aws:region",
        "aws:config:region",
        "cluster",
        "dynamo-eks:cluster",
        "dynamo-eks:config:cluster",
    }
    between |= {
        "publicAccessCidrs",
        "existing",
        "families",
        "instanceTypes",
        "id",
        "tags",
        "create",
        "worker",
        "prefill",
        "decode",
    }
    assert _required(schema()) - {"secure", "preset"} - between == set(EXAMPLES)


# --- types ------------------------------------------------------------------------------------------------------------

TYPES = [
    ("text", {C + ".servedModelName": 1}, "graphs.chat.servedModelName | given 1 | expected text"),
    ("a whole number", {C + ".worker.gpus": "1"}, 'graphs.chat.worker.gpus | given "1" | expected a whole number'),
    ("a number with a part", {C + ".worker.gpus": 1.5}, "graphs.chat.worker.gpus | given 1.5 | expected a whole number"),
    ("a number", {C + ".speedupRatio": "1"}, 'graphs.chat.speedupRatio | given "1" | expected a number'),
    ("true or false", {C + ".hostIpc": "yes"}, 'graphs.chat.hostIpc | given "yes" | expected true or false, without quotes'),
    ("a list", {C + ".worker.extraArgs": "--a"}, 'graphs.chat.worker.extraArgs | given "--a" | expected a list'),
    ("keys and values of any names", {C + ".worker.env": ["a"]}, 'graphs.chat.worker.env | given ["a"] | expected keys and values'),
    ("keys and values", {C + ".worker": 1}, "graphs.chat.worker | given 1 | expected keys and values"),
    ("an empty name", {"tags": {"": "x"}}, 'tags. | given "" | expected text that is not empty'),
    ("a name of a tag too long", {"tags": {"k" * 129: "x"}}, 'tags.kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk | given "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk... | expected at most 128 characters (these are 129)'),
    ("a tag too long", {"tags": {"k": "v" * 257}}, 'tags.k | given "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv... | expected at most 256 characters (these are 257)'),
    ("a list of tags", {"tags": ["a"]}, 'tags | given ["a"] | expected keys and values'),
]  # fmt: skip


@rows(TYPES)
def test_types(changes: Changes, faults: list[str]) -> None:
    """`Input should be a valid integer` says neither which key nor what to type."""
    assert told("ordinary", changes) == faults


# --- moments and numbers of racks -------------------------------------------------------------------------------------

RACKS = [
    ("a moment that is a date", {"capacity.ultraServers.rack-a.start": "2026-12-01"}, 'capacity.ultraServers.rack-a.start | given "2026-12-01" | expected a moment in UTC in quotes with a Z at the end, such as "2026-12-08T11:30:00Z"'),
    ("a moment that is none", {"capacity.ultraServers.rack-a.end": "tomorrow"}, 'capacity.ultraServers.rack-a.end | given "tomorrow" | expected a moment in UTC in quotes with a Z at the end, such as "2026-12-08T11:30:00Z"'),
    ("a moment that is a list", {"capacity.ultraServers.rack-a.end": []}, 'capacity.ultraServers.rack-a.end | given [] | expected a moment in UTC in quotes with a Z at the end, such as "2026-12-08T11:30:00Z"'),
    ("a moment elsewhere", {"capacity.ultraServers.rack-a.end": "2026-12-08T12:30:00+01:00"}, 'capacity.ultraServers.rack-a.end | given "2026-12-08T12:30:00+01:00" | expected a moment in UTC in quotes with a Z at the end, such as "2026-12-08T11:30:00Z"; with that offset it is 2026-12-08T11:30:00Z'),
    ("drained too late", {"capacity.ultraServers.rack-a.drainMinutes": 74}, "capacity.ultraServers.rack-a.drainMinutes | given 74 | expected a number of at least 75: EC2 takes the machines 60 minutes before the end, and pods need time to go"),
    ("missing on purpose in a rack", {"capacity.ultraServers.rack-a.count": 18}, "capacity.ultraServers.rack-a.count | given 18 | expected no count: the type says it, 9 or 18 nodes"),
    ("a rack's name", {"capacity.ultraServers." + "r" * 21: {"x": 1}}, 'capacity.ultraServers.rrrrrrrrrrrrrrrrrrrrr | given "rrrrrrrrrrrrrrrrrrrrr" | expected at most 20 characters (these are 21)', 'capacity.ultraServers.rrrrrrrrrrrrrrrrrrrrr.end | expected a value; the key is required | add | dynamo-eks:capacity: | ultraServers: | rrrrrrrrrrrrrrrrrrrrr: | end: "2026-12-08T11:30:00Z"', "capacity.ultraServers.rrrrrrrrrrrrrrrrrrrrr.reservation | expected a value; the key is required | add | dynamo-eks:capacity: | ultraServers: | rrrrrrrrrrrrrrrrrrrrr: | reservation: cr-0123456789abcdef0", 'capacity.ultraServers.rrrrrrrrrrrrrrrrrrrrr.start | expected a value; the key is required | add | dynamo-eks:capacity: | ultraServers: | rrrrrrrrrrrrrrrrrrrrr: | start: "2026-12-01T11:30:00Z"', "capacity.ultraServers.rrrrrrrrrrrrrrrrrrrrr.type | expected a value; the key is required | add | dynamo-eks:capacity: | ultraServers: | rrrrrrrrrrrrrrrrrrrrr: | type: u-p6e-gb200x72", "capacity.ultraServers.rrrrrrrrrrrrrrrrrrrrr.x | given 1 | expected no such key here, but amiRelease, drainMinutes, efaInterfaces, end, hugePagesMib, instanceType, nodeRepair, protect, reservation, rootVolumeGib, start, type, upfrontFeeUsd, verify, zone", "capacity.ultraServers.rrrrrrrrrrrrrrrrrrrrr.zone | expected a value; the key is required | add | dynamo-eks:capacity: | ultraServers: | rrrrrrrrrrrrrrrrrrrrr: | zone: use1-az1"),
]  # fmt: skip


@rows(RACKS)
def test_racks(changes: Changes, faults: list[str]) -> None:
    """A moment in local time is a rack that is drained an hour early."""
    assert told("gb200", changes) == faults


# --- bounds -----------------------------------------------------------------------------------------------------------

BOUNDS = [
    ("a least number", {C + ".worker.replicas": -1}, "graphs.chat.worker.replicas | given -1 | expected a number of at least 0"),
    ("a number above", {C + ".speedupRatio": 0}, "graphs.chat.speedupRatio | given 0 | expected a number greater than 0.0"),
    ("a largest number", {C + ".worker.nodes": 19}, "graphs.chat.worker.nodes | given 19 | expected a number of at most 18, what the largest UltraServer has"),
    ("another largest number", {C + ".worker.gpus": 17}, "graphs.chat.worker.gpus | given 17 | expected a number of at most 16"),
    ("odd pages", {C + ".worker.hugePagesMib": 3}, "graphs.chat.worker.hugePagesMib | given 3 | expected a multiple of 2: the pages are of 2 MiB"),
    ("another least number", {P + ".weight": 0}, "capacity.pools.gpu.weight | given 0 | expected a number of at least 1"),
    ("a graph's name", {"graphs." + "g" * 38: {"model": "qwen", "backend": "mocker", "transport": "none", "worker": {"gpus": 0}}}, 'graphs.gggggggggggggggggggggggggggggggggggggg | given "gggggggggggggggggggggggggggggggggggggg" | expected at most 37 characters (these are 38); graph and component name together may have 45, and `frontend` takes 8'),
    ("a pool's name", {"capacity.pools." + "p" * 64: {"families": ["g6e"], "capacity": ["spot"], "gpuLimit": 8}}, 'capacity.pools.pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp | given "pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp" | expected at most 63 characters (these are 64)'),
    ("a wrong name, and another", {"graphs": {"A": 1, "b_": 2}}, 'graphs.A | given "A" | expected lower-case letters, digits and dashes, beginning with a letter', "graphs.A | given 1 | expected keys and values", 'graphs.b_ | given "b_" | expected lower-case letters, digits and dashes, beginning with a letter', "graphs.b_ | given 2 | expected keys and values"),
    ("no item", {P + ".capacity": []}, "capacity.pools.gpu.capacity | given [] | expected at least one item"),
    ("no item but a wrong one", {P + ".capacity": ["sport"]}, 'capacity.pools.gpu.capacity[0] | given "sport" | expected one of on-demand, reserved, spot; did you mean spot?'),
    ("zones", {N + ".zones": "three"}, 'network.zones | given "three" | expected how many zones (2 to 6), or a list of zone ids such as [use1-az1, use1-az2]'),
    ("too many zones", {N + ".zones": 7}, "network.zones | given 7 | expected how many zones (2 to 6), or a list of zone ids such as [use1-az1, use1-az2]"),
    ("too few zones", {N + ".zones": 1}, "network.zones | given 1 | expected how many zones (2 to 6), or a list of zone ids such as [use1-az1, use1-az2]"),
    ("a zone that is no id", {N + ".zones": ["use1-az1", "us-east-1b"]}, 'network.zones[1] | given "us-east-1b" | expected a zone id, such as use1-az1 (ids are the same in every account, names like us-east-1a are not)'),
    ("two zones that are no ids", {N + ".zones": ["use1-az1", "us-east-1b", "us-east-1c"]}, 'network.zones[1] | given "us-east-1b" | expected a zone id, such as use1-az1 (ids are the same in every account, names like us-east-1a are not)', 'network.zones[2] | given "us-east-1c" | expected a zone id, such as use1-az1 (ids are the same in every account, names like us-east-1a are not)'),
    ("zones as a mapping", {N + ".zones": {"use1-az1": 1}}, 'network.zones | given {"use1-az1": 1} | expected how many zones (2 to 6), or a list of zone ids such as [use1-az1, use1-az2]'),
    ("a range as large as it may be", {N + ".cidr": "10.0.0.0/16"}),
    ("a range as small as it may be", {N + ".cidr": "10.0.0.0/20"}),
    ("a larger range", {N + ".cidr": "10.0.0.0/15"}, 'network.cidr | given "10.0.0.0/15" | expected a range between /16 and /20, so that every zone gets room for nodes and pods'),
    ("a smaller range", {N + ".cidr": "10.0.0.0/21"}, 'network.cidr | given "10.0.0.0/21" | expected a range between /16 and /20, so that every zone gets room for nodes and pods'),
    ("a range beside a private one", {N + ".cidr": "172.32.0.0/16"}, 'network.cidr | given "172.32.0.0/16" | expected a private range inside 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10'),
    ("a range of IPv6", {N + ".cidr": "fd00::/16"}, 'network.cidr | given "fd00::/16" | expected an IPv4 range; IPv6 clusters are not supported'),
    ("a half zone", {N + ".zones": 2.5}, "network.zones | given 2.5 | expected how many zones (2 to 6), or a list of zone ids such as [use1-az1, use1-az2]"),
]  # fmt: skip


@rows(BOUNDS)
def test_bounds(changes: Changes, faults: list[str]) -> None:
    """A bound that is told without its reason is worked around."""
    assert told("ordinary", changes) == faults


# --- keys -------------------------------------------------------------------------------------------------------------

KEYS = [
    ("in a section", {"storage.Caches": []}, "storage.Caches | given [] | expected no such key here, but accessMode, cacheSizeGib, caches, efs, storageClass; did you mean caches?"),
    ("two in a section", {"storage": {"cache": [], "classes": 1, "cacheSizeGib": 0}}, "storage.cache | given [] | expected no such key here, but accessMode, cacheSizeGib, caches, efs, storageClass; did you mean caches?", "storage.cacheSizeGib | given 0 | expected a number of at least 1", "storage.classes | given 1 | expected no such key here, but accessMode, cacheSizeGib, caches, efs, storageClass; did you mean caches?"),
    ("in a part of a section", {"storage.efs": {"throuput": "elastic"}}, 'storage.efs.throuput | given "elastic" | expected no such key here, but backup, protect, provisionedMibps, throughput; did you mean throughput?'),
    ("in an item of a list", {P + ".reservations": [{"kinds": "onDemand"}]}, "capacity.pools.gpu.reservations[0].count | expected a value; the key is required | add | dynamo-eks:capacity: | pools: | gpu: | reservations: # item 0 | count: 1", "capacity.pools.gpu.reservations[0].instanceType | expected a value; the key is required | add | dynamo-eks:capacity: | pools: | gpu: | reservations: # item 0 | instanceType: p5.48xlarge", "capacity.pools.gpu.reservations[0].kind | expected a value; the key is required | add | dynamo-eks:capacity: | pools: | gpu: | reservations: # item 0 | kind: onDemand", 'capacity.pools.gpu.reservations[0].kinds | given "onDemand" | expected no such key here, but count, create, end, id, instanceType, kind, protect, start, tags, upfrontFeeUsd, zone; did you mean kind?', "capacity.pools.gpu.reservations[0].zone | expected a value; the key is required | add | dynamo-eks:capacity: | pools: | gpu: | reservations: # item 0 | zone: use1-az1"),
    ("in an entry of a mapping", {N + ".existing": {"vpcId": "vpc-0123456789abcdef0", "subnets": {"use1-az1": {"private": SUB, "pubic": SUB}}}}, 'network.existing.subnets.use1-az1.pubic | given "subnet-0123456789abcdef0" | expected no such key here, but private, public; did you mean public?'),
    ("in an entry of an entry", {Q + ".download": {"xetBufer": "full"}}, 'models.qwen.download.xetBufer | given "full" | expected no such key here, but memoryGib, retries, timeoutMinutes, xetBuffer; did you mean xetBuffer?'),
    ("in a graph's part", {C + ".worker.gpu": 1}, "graphs.chat.worker.gpu | given 1 | expected no such key here, but attentionDataParallel, cpu, dataParallel, efa, engine, env, expertParallel, extraArgs, gpus, hugePagesMib, kvBufferDevice, memory, nodes, pipelineParallel, replicas, scaledBy, sharedMemory, tensorParallel, ultraServer; did you mean gpus?"),
    ("in a chart", {"gpu.operator": {"versions": 1}}, "gpu.operator.versions | given 1 | expected no such key here, but values, version; did you mean version?"),
    ("in capacity", {"capacity.pool": {}}, "capacity.pool | given {} | expected no such key here, but pools, ultraServers; did you mean pools?"),
    ("a wrong key of a mapping", {N + ".existing": {"vpcId": "vpc-0123456789abcdef0", "subnets": {"us-east-1a": {"private": SUB}}}}, 'network.existing.subnets.us-east-1a | given "us-east-1a" | expected a zone id, such as use1-az1 (ids are the same in every account, names like us-east-1a are not)'),
    ("a wrong name of a variable", {C + ".worker.env": {"A-B": "x"}}, 'graphs.chat.worker.env.A-B | given "A-B" | expected the name of an environment variable'),
    ("missing on purpose", {C + ".numNodes": 3}, "graphs.chat.numNodes | given 3 | expected no count: a ComputeDomain has numNodes 0, and who claims a channel is in"),
    ("missing elsewhere", {C + ".worker.count": 3}, "graphs.chat.worker.count | given 3 | expected no such key here, but attentionDataParallel, cpu, dataParallel, efa, engine, env, expertParallel, extraArgs, gpus, hugePagesMib, kvBufferDevice, memory, nodes, pipelineParallel, replicas, scaledBy, sharedMemory, tensorParallel, ultraServer"),
    ("required in an item", {P + ".reservations": [{"kind": "onDemand"}]}, "capacity.pools.gpu.reservations[0].count | expected a value; the key is required | add | dynamo-eks:capacity: | pools: | gpu: | reservations: # item 0 | count: 1", "capacity.pools.gpu.reservations[0].instanceType | expected a value; the key is required | add | dynamo-eks:capacity: | pools: | gpu: | reservations: # item 0 | instanceType: p5.48xlarge", "capacity.pools.gpu.reservations[0].zone | expected a value; the key is required | add | dynamo-eks:capacity: | pools: | gpu: | reservations: # item 0 | zone: use1-az1"),
    ("required by an image", {C + ".image": {"repository": "r"}}, 'graphs.chat.image.tag | expected a value; the key is required | add | dynamo-eks:graphs: | chat: | image: | tag: "1.5.0-efa"'),
    ("a choice of numbers", {"cluster.logRetentionDays": 31}, "cluster.logRetentionDays | given 31 | expected one of 1, 3, 5, 7, 14, 30, 60, 90, 180, 365"),
    ("a choice of words", {N + ".nat": "perzone"}, 'network.nat | given "perzone" | expected one of perZone, single; did you mean perZone?'),
    ("a choice of words as a number", {N + ".nat": 1}, "network.nat | given 1 | expected one of perZone, single"),
    ("a wrong preset", {C + ".preset": "x", C + ".backend": ABSENT, C + ".transport": "tpc"}, 'graphs.chat.preset | given "x" | expected one of deepseek-r1-wide-ep, glm-5-efa', 'graphs.chat.transport | given "tpc" | expected one of efa, none, nvlink, tcp; did you mean tcp?'),
    ("a right preset", {C: {"preset": "glm-5-efa"}}, "graphs.chat.model | expected a value; the key is required | add | dynamo-eks:graphs: | chat: | model: qwen3-32b"),
    ("a bare word", {N: "none"}, 'network | given "none" | expected keys and values'),
    ("a list of graphs", {"graphs": ["a"]}, 'graphs | given ["a"] | expected entries by name'),
    ("a graph that is a word", {"graphs": {"a": "b"}}, 'graphs.a | given "b" | expected keys and values'),
    ("a version without quotes", {"cluster.version": 1.35}, 'cluster.version | given 1.35 | expected a version in quotes, such as "1.35" (without quotes YAML reads 1.30 as 1.3)'),
    ("a section nobody knows", {"networks": "{\"a\": 1}"}, 'networks | given {"a": 1} | expected no such key, but account, capacity, cluster, dynamo, gpu, graphs, huggingFaceToken, imagePullPassword, models, network, review, storage, tags; did you mean network?'),
    ("sections nobody knows of others", {"other:x": "1"}),
    ("a token in clear", {"huggingFaceToken": "hf"}, 'huggingFaceToken | given "[hidden]" | expected an encrypted value; the text here can be read by whoever sees the file, so it must be revoked | fix pulumi config set --secret dynamo-eks:huggingFaceToken'),
    ("no region", {"aws:region": ""}, "aws:region | expected a region; the key is required | add | config: | aws:region: us-east-1"),
    ("a region that is a number", {"aws:region": 5}, "aws:region | expected a region; the key is required | add | config: | aws:region: us-east-1"),
    ("no token", {"huggingFaceToken": None}),
]  # fmt: skip


@rows(KEYS)
def test_keys(changes: Changes, faults: list[str]) -> None:
    """A misspelt key is a default; the keys of another section are no help."""
    assert told("ordinary", changes) == faults


# --- every form of a moment -------------------------------------------------------------------------------------------

END = datetime(2026, 12, 8, 11, 30, tzinfo=UTC)

FORMS = (
    "2026-12-08T11:30:00Z", "2026-12-08t11:30:00Z", "2026-12-08T11:30:00z", "2026-12-08 11:30:00Z", "2026-12-08 11:30:00 Z",
    "2026-12-08T11:30:00+00:00", "2026-12-08T11:30:00-00:00", "2026-12-08 11:30:00+00:00", "2026-12-08 11:30:00 +00:00",
    "2026-12-08T11:30:00+0000", "2026-12-08T11:30:00+00", "2026-12-08 11:30:00 +0000 UTC", "2026-12-08 11:30:00 +0000 +0000",
    "2026-12-08 11:30:00 +0000 GMT", "2026-12-08 11:30:00 UTC", "2026-12-08T11:30Z", "2026-12-08 11:30 UTC",
    "2026-12-08T11:30:00.000Z", "2026-12-08T11:30:00,0Z", "2026-12-08 11:30:00.000000000 +0000 UTC", "2026-12-8T11:30:00Z",
)  # fmt: skip
"""As written, as YAML's own dates arrive, and as other programs print them."""


@pytest.mark.parametrize("form", FORMS)
def test_a_moment_is_read_in_every_form(form: str) -> None:
    """The engine hands a date without quotes over as Go prints it; refused, the stack cannot be previewed at all."""
    settings = parsed("gb200", {"capacity.ultraServers.rack-a.end": form})
    assert settings.capacity.ultra_servers["rack-a"].end == END
    assert re.search(MOMENT, form)


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("2026-12-08T12:30:00+01:00", "with that offset it is 2026-12-08T11:30:00Z"),
        ("2026-12-08 06:30:00 -0500 EST", "with that offset it is 2026-12-08T11:30:00Z"),
        ("2026-12-08 12:30:00 +0100 +0100", "with that offset it is 2026-12-08T11:30:00Z"),
        ("2026-12-08T11:30:00", ""),
        ("2026-12-08", ""),
        ("1796729400", ""),
        ("2026-02-30T11:30:00Z", "day is out of range for month"),
        ("2026-12-08T24:00:00Z", "hour must be in 0..23"),
        ("0000-01-01T00:00:00Z", "year 0 is out of range"),
        ("0001-01-01T00:00:00+01:00", ""),
        ("9999-12-31T23:59:59-01:00", ""),
        ("2026-12-08T11:30:00Z\n", ""),
        (1796729400, ""),
        (1.5, ""),
        (True, ""),
        ({}, ""),
    ],
)
def test_a_moment_that_is_not_utc_is_refused(form: Any, why: str) -> None:
    """Read in another zone, a rack is drained an hour early or an hour late."""
    (fault,) = told("gb200", {"capacity.ultraServers.rack-a.end": form})
    assert "expected a moment in UTC in quotes" in fault and why in fault


def test_a_fraction_of_a_second_is_kept() -> None:
    assert moment_of("2026-12-08 11:30:00.123456789 +0000 UTC") == END.replace(microsecond=123456)

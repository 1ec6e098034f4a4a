"""The one reader of a stack's configuration.

`Settings.load()` reads what the engine hands over, `Settings.parse()` the same values from a file. Both report every
fault of the file at once and raise before anything registers. Components never read configuration; they take values.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from components.capacity.spec import Capacity, Pool, RackName, UltraServer
from components.cluster.spec import Cluster
from components.dynamo.recipes import expanded
from components.dynamo.spec import Dynamo, Graph, GraphName, ModelSource
from components.gpu.spec import Gpu
from components.network.spec import Network
from components.spec import DnsLabel, Moment
from components.storage.spec import Storage
from stacks import placeholders, provider_keys
from stacks.checks import Draft, cross_faults
from stacks.faults import MOST_TOLD, PREFIX, Fault, Places, StackFileError, from_pydantic, in_region, one_of, report
from stacks.sections import AccountId, AssumedRole, Review, Tags

if TYPE_CHECKING:
    from stacks.stackfile import StackFile

SECTIONS: Mapping[str, Any] = {
    "tags": Tags,
    "network": Network,
    "cluster": Cluster,
    "capacity": Capacity,
    "gpu": Gpu,
    "storage": Storage,
    "dynamo": Dynamo,
    "models": ModelSource,
    "graphs": Graph,
    "review": Review,
}
"""Object keys of a stack file, each with its model; `models` and `graphs` hold one such model per entry."""

ACCOUNT = "account"
"""The one plain key of the program's own."""

SECRETS = ("huggingFaceToken", "imagePullPassword")
"""Keys whose value must be encrypted (`pulumi config set --secret`)."""

_ENTRIES: Mapping[str, Any] = {
    "models": dict[DnsLabel, Any],
    "graphs": dict[GraphName, Any],
    "capacity.pools": dict[DnsLabel, Any],
    "capacity.ultraServers": dict[RackName, Any],
}
"""Mappings whose entries are checked one by one, with what their names may be."""

MOST_ENTRIES: Mapping[str, int] = {"models": 100, "graphs": 100, "capacity.pools": 50, "capacity.ultraServers": 30}
"""Entries of those mappings. EKS lets a cluster have 30 managed node groups (service quotas), one for each UltraServer; the
others are ours, where a plan still takes seconds."""

SOURCE = "DYNAMO_EKS_STACK_FILE"
"""Environment variable with the path of the stack file that the configuration came from, for the line of each fault. Unset,
it is the stack's own in stacks/; empty, there is none. Read here alone."""

CLOCK = "DYNAMO_EKS_AT"
"""Environment variable that stands for the present moment (`2026-12-08T10:00:00Z`), for plans as of another one. Unset,
it is now. Read here alone."""


def present() -> datetime:
    """The moment to plan for."""
    return _clock() or datetime.now(UTC)


def _clock() -> datetime | None:
    given = os.environ.get(CLOCK)
    return datetime.fromisoformat(given) if given else None


def left_open(values: Mapping[str, Any]) -> tuple[placeholders.ToFillIn, ...]:
    """Everything in a stack file that its reader still has to fill in."""
    written = {key.removeprefix(PREFIX): _object(value) for key, value in values.items()}
    return tuple(placeholders.to_fill_in(written))


def own_window(values: Mapping[str, Any]) -> datetime | None:
    """The moment to plan a stack for whose blocks are still to fill in: when the last of these starts.

    Dates beside a placeholder are examples and pass by. None when no block is to fill in, or its start cannot be read.
    """
    given = _object(values.get(f"{PREFIX}capacity"))
    capacity = given if isinstance(given, Mapping) else {}
    blocks = list(_values(capacity.get("ultraServers")))
    for pool in _values(capacity.get("pools")):
        found = pool.get("reservations")
        blocks += [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []
    starts = []
    for block in blocks:
        if any(placeholders.to_fill_in([block.get("reservation"), block.get("id")])):
            with contextlib.suppress(ValidationError):
                starts.append(_adapter(Moment).validate_json(json.dumps(block.get("start"))))
    return max(starts, default=None)


def _values(given: Any) -> list[Mapping[str, Any]]:
    return [item for item in given.values() if isinstance(item, Mapping)] if isinstance(given, Mapping) else []


def _source(stack: str, values: Mapping[str, Any], secret: Collection[str]) -> StackFile | None:
    """The running stack's file, where there is one that says what the engine handed over. It says something else when the
    configuration came from another file (`--config-file`)."""
    from stacks import stackfile

    given = os.environ.get(SOURCE)
    path = Path(given) if given else stackfile.ROOT / stackfile.shown(stack)
    if given == "" or not path.is_file():
        return None
    file = stackfile.read(stack, path)
    wire = stackfile.as_wire(file.config)
    # The engine adds an empty object for each section that the file does not have.
    ours = {key for key, text in values.items() if key.startswith(PREFIX) and text != "{}"} | set(wire)
    same = all(_object(values.get(key)) == _object(wire.get(key)) for key in ours if key not in file.secret_keys)
    return file if same and set(file.secret_keys) == set(secret) else None


class SettingsError(Exception):
    """A stack file with faults; the message is the whole report."""

    def __init__(self, stack: str, faults: list[Fault], place_of: Places | None = None) -> None:
        super().__init__(report(stack, faults, place_of))
        self.stack = stack
        self.faults = faults


@dataclass(frozen=True)
class Settings:
    """A stack's configuration, checked."""

    stack: str
    region: str | None
    """AWS region; None only with `cluster.existing`."""
    network: Network
    cluster: Cluster
    capacity: Capacity
    gpu: Gpu
    storage: Storage
    dynamo: Dynamo
    review: Review
    tags: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, ModelSource] = field(default_factory=dict)
    graphs: Mapping[str, Graph] = field(default_factory=dict)
    accounts: tuple[str, ...] = ()
    """AWS accounts the stack may be made in (`account`, or `aws:allowedAccountIds`); empty when none is pinned."""
    profile: str | None = None
    """Profile of everything that asks AWS; None for the shell's identity."""
    assume_role: AssumedRole | None = None
    """Role that everything assumes before it asks AWS."""
    to_fill_in: tuple[placeholders.ToFillIn, ...] = ()
    """What the reader of the file still has to fill in. The plan goes on with what stands in; under the engine nothing registers."""
    secrets: Mapping[str, Any] = field(default_factory=dict)
    """Secret values by key, as pulumi secret Outputs (or, parsed from a file, the text found there)."""
    at: datetime = field(default_factory=present)
    """Moment the settings are read for: it decides what of a Capacity Block is still to come."""

    @property
    def aws_tags(self) -> dict[str, str]:
        """Tags of everything in AWS, also of what Karpenter launches."""
        return {"project": "dynamo-eks", "stack": self.stack, **self.tags}

    @property
    def cluster_name(self) -> str:
        return self.cluster.name or f"dynamo-{self.stack}"

    @classmethod
    def load(cls, values: Mapping[str, str], secret: Collection[str]) -> Settings:
        """Read the running stack's configuration as the engine hands it over, and the keys that are encrypted in it; raises
        `pulumi.RunError` with every fault."""
        import pulumi

        try:
            source = _source(pulumi.get_stack(), values, secret)
            settings = cls.parse(pulumi.get_stack(), values, frozenset(secret), source=source)
        except (SettingsError, StackFileError) as error:
            # RunError prints its message without a traceback, in the engine and here.
            raise pulumi.RunError(str(error)) from error
        config = pulumi.Config("dynamo-eks")
        wrapped = {key: config.get_secret(key) for key in settings.secrets}
        return cls(**{**settings.__dict__, "secrets": wrapped})

    @classmethod
    def parse(
        cls,
        stack: str,
        values: Mapping[str, Any],
        secret_keys: set[str] | frozenset[str] = frozenset(),
        at: datetime | None = None,
        source: StackFile | None = None,
    ) -> Settings:
        """Check values by full key (`dynamo-eks:network`); raises SettingsError with every fault found. `at` is the moment
        to check for, by default the present one, or for a stack whose blocks are to fill in the one at which they run;
        `source` the file that the values came from, if it is known, for its lines and for what is wrong with the file itself."""
        at = at or _clock() or own_window(values) or present()
        written = {key: value if key == PREFIX + ACCOUNT else _object(value) for key, value in values.items()}
        open_ = left_open(written)
        handed, values = values, placeholders.stood_in(written)
        faults: list[Fault] = list(source.faults) if source else []
        known = {ACCOUNT, *SECTIONS, *SECRETS}
        for key, value in values.items():
            if (
                key.startswith(PREFIX)
                and (name := key.removeprefix(PREFIX)) not in known
                and len(faults) < 2 * MOST_TOLD
            ):
                faults.append(Fault("unknown-section", key, one_of(name, known, "no such key, but"), value))
        raw = {name: values.get(PREFIX + name) for name in SECTIONS}
        # A section that is null says as much as one that is absent.
        raw = {name: {} if given is None else given for name, given in raw.items()}
        parsed: dict[str, Any] = {}
        broken: set[str] = set()
        for name, model in SECTIONS.items():
            given = raw[name]
            if PREFIX + name in secret_keys:
                # The engine does not say which value in it is encrypted, and hands all of them over in clear. The file does.
                if not any(fault.full_key.startswith(PREFIX + name) and fault.given == "[hidden]" for fault in faults):
                    faults.append(
                        Fault(
                            "encrypted-section",
                            name,
                            f"no encrypted value in it; only {' and '.join(SECRETS)} may be",
                            "[hidden]",
                        )
                    )
                raw[name], parsed[name] = {}, {} if name in _ENTRIES else None
            elif given == "":
                # So arrives a key without a value. The engine tolerates none where Pulumi.yaml declares an object.
                faults.append(
                    Fault(
                        "empty-section",
                        name,
                        "keys and values; take the line out, since the engine refuses it empty",
                        given,
                    )
                )
                raw[name], parsed[name] = {}, {} if name in _ENTRIES else None
                broken.add(name)
            elif name in _ENTRIES:
                parsed[name] = _entries(name, model, given, faults, broken)
            elif name == "capacity" and isinstance(given, dict):
                parsed[name] = _capacity(given, faults, broken)
            else:
                parsed[name] = _one(name, model, given, faults)
            if parsed[name] is None or PREFIX + name in secret_keys:
                broken.add(name)
        # As it was handed over: an account of digits alone is none of JSON's numbers.
        access, account = _access(placeholders.stood_in(handed), faults)
        faults += provider_keys.unread(values)
        secrets = {name: values[PREFIX + name] for name in SECRETS if values.get(PREFIX + name) is not None}
        for name in secrets:
            if PREFIX + name not in secret_keys and not any(item.key == name for item in open_):
                faults.append(
                    Fault(
                        "secret-in-clear",
                        name,
                        "an encrypted value; the text here can be read by whoever sees the file, so it must be revoked",
                        "[hidden]",
                        fix=f"pulumi config set --secret {PREFIX}{name}",
                    )
                )
        draft = Draft(
            stack=stack,
            region=_text(values.get("aws:region")),
            # What is no mapping is a fault already; nothing can be looked up in it.
            given={name: value if isinstance(value, dict) else {} for name, value in raw.items()},
            broken=frozenset(broken),
            secrets=frozenset(secrets),
            at=at,
            account=account,
            access=access,
            **parsed,
        )
        faults += cross_faults(draft)
        if "aws:region" in secret_keys:
            faults = [fault for fault in faults if fault.key != "aws:region"]
            faults.append(
                Fault(
                    "encrypted-region",
                    "aws:region",
                    "a region that is not encrypted, so that it can be planned for",
                    "[hidden]",
                )
            )
        faults += _documentation(written)
        faults += [fault for key, value in raw.items() for fault in _twice(value, key)]
        if faults:
            zone_ids = sorted(zone.zone_id for zone in draft.region_zones if zone.zone_type == "availability-zone")
            raise SettingsError(
                stack,
                [in_region(_as_written(fault, open_), zone_ids) for fault in faults],
                source.place if source else None,
            )
        who = _identity(handed, access, account)
        return cls(
            stack=stack,
            region=draft.region,
            accounts=who.accounts,
            profile=who.profile,
            assume_role=who.assume_role,
            secrets=secrets,
            at=at,
            to_fill_in=open_,
            **{name: parsed[name] for name in SECTIONS},
        )


@dataclass(frozen=True)
class Identity:
    """Who asks AWS for a stack, and in which accounts that is right."""

    region: str | None
    accounts: tuple[str, ...]
    profile: str | None
    assume_role: AssumedRole | None


def identity(values: Mapping[str, Any]) -> Identity:
    """The keys that say who asks AWS, whatever else is wrong with a stack file: a faulty one counts as absent."""
    access, account = _access(values, [])
    return _identity(values, access, account)


def _identity(values: Mapping[str, Any], access: Mapping[str, Any], account: str | None) -> Identity:
    return Identity(
        region=_text(values.get("aws:region")),
        accounts=(account,) if account else access["allowedAccountIds"] or (),
        profile=access["profile"],
        assume_role=next(iter(access["assumeRoles"] or ()), None),
    )


def _access(values: Mapping[str, Any], faults: list[Fault]) -> tuple[dict[str, Any], str | None]:
    """The honoured keys of the AWS provider by name, and the account; None where one is absent or faulty."""
    account = _given(values, PREFIX + ACCOUNT, AccountId, faults)
    return {
        name: _given(values, f"aws:{name}", model, faults) for name, model in provider_keys.HONOURED.items()
    }, account


def _as_written(fault: Fault, open_: Iterable[placeholders.ToFillIn]) -> Fault:
    """A fault with the value that the file has, not the one that stands in for it."""
    text = next((item.text for item in open_ if item.key == fault.key), None)
    return fault if text is None else dataclasses.replace(fault, given=text)


def _documentation(written: Mapping[str, Any]) -> list[Fault]:
    """Values that AWS's documentation shows and nobody has."""
    about = {name: written.get(PREFIX + name) for name in ("account", "cluster")}
    return [
        Fault(
            "value-of-documentation",
            key,
            f"{placeholders.KNOWN[name].meaning}; {placeholders.KNOWN[name].stand_in} stands in documentation and is nobody's",
            text,
            fix=placeholders.KNOWN[name].find,
        )
        for key, text, name in placeholders.documentation_values(about)
    ]


_REPEATABLE = ("extraArgs", "engine", "values")
"""Lists below these are an engine's or a chart's, and may hold a word twice."""

_TOLD_ALREADY = "network.zones"
"""The list whose repetitions have a text of their own."""


def _twice(value: Any, key: str) -> list[Fault]:
    """Items that stand twice in a list: EKS, EC2 and Karpenter refuse most of them, and none means anything."""
    if isinstance(value, Mapping):
        below = [(name, item) for name, item in value.items() if name not in _REPEATABLE]
        return [fault for name, item in below for fault in _twice(item, f"{key}.{name}")]
    if not isinstance(value, list) or key == _TOLD_ALREADY:
        return []
    words = Counter(item for item in value if isinstance(item, str))
    found = [
        Fault("item-twice", key, f"each item once; {word} is there twice", value)
        for word, count in words.items()
        if count > 1
    ]
    return found[:1] + [fault for position, item in enumerate(value) for fault in _twice(item, f"{key}[{position}]")]


def _capacity(given: Mapping[str, Any], faults: list[Fault], broken: set[str]) -> Capacity | None:
    """Pools and UltraServers, each entry checked by itself."""
    made = {}
    for key, model in (("pools", Pool), ("ultraServers", UltraServer)):
        if key in given:
            made[key] = _entries(f"capacity.{key}", model, given[key], faults, broken)
    rest = {key: {} if key in made else value for key, value in given.items()}
    if _one("capacity", Capacity, rest, faults) is None:
        return None
    return Capacity.model_construct(pools=made.get("pools", {}), ultra_servers=made.get("ultraServers", {}))


def _object(value: Any) -> Any:
    # The engine hands objects over as JSON text; a bare word there is a plain string.
    if isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _given(values: Mapping[str, Any], key: str, model: Any, faults: list[Fault]) -> Any:
    """A key that is no section; None when it is absent or faulty. Text is taken as it is: an account of digits alone is none
    of JSON's numbers."""
    value = values.get(key)
    if value is None:
        return None
    if isinstance(value, str) and value[:1] in "[{":
        value = _object(value)
    return _one(key.removeprefix(PREFIX), model, value, faults)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


_adapter = cache(TypeAdapter[Any])


def _one(section: str, model: Any, given: Any, faults: list[Fault]) -> Any:
    """What a model makes of a value; None, which is nothing that one makes, when it is faulty."""
    try:
        # JSON mode: strict about types, yet arrays may become tuples and text may become moments.
        return _adapter(model).validate_json(json.dumps(given), by_alias=True, by_name=False)
    except ValidationError as error:
        faults += from_pydantic(error.errors(), section, lambda loc: _keys_at(model, loc))
        return None


def _entries(name: str, model: Any, given: Any, faults: list[Fault], broken: set[str]) -> dict[str, Any]:
    """Entries of a mapping, each checked by itself, so that one faulty graph does not hide the others' faults."""
    if not isinstance(given, dict):
        faults.append(Fault("not-a-mapping", name, "entries by name", given))
        broken.add(name)
        return {}
    if len(given) > MOST_ENTRIES[name]:
        faults.append(Fault("too-many-entries", name, f"at most {MOST_ENTRIES[name]} of them in one stack", len(given)))
        broken.add(name)
        return {}
    found = {}
    _one(name, _ENTRIES[name], given, faults)
    for key, value in given.items():
        if model is Graph and isinstance(value, dict):
            value = expanded(value)
        entry = _one(f"{name}.{key}", model, value, faults)
        if entry is None:
            broken.add(name)
        else:
            found[key] = entry
    return found


def _keys_at(model: Any, path: Iterable[Any]) -> list[str]:
    """Keys allowed at a path below a model, or below a list of them."""
    model = next(iter(_models_in(model)), model)
    for part in path:
        # A position in a list, and a name in a mapping, is no field: below it is still what the list or mapping holds.
        model = next(iter(_models_in(_fields(model).get(part))), model)
    return list(_fields(model))


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {to_camel(name): item.annotation for name, item in model.model_fields.items()}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]


def schema() -> dict[str, Any]:
    """JSON schema of a stack file, for editors (`stacks/stack.schema.json`)."""
    from stacks import schema_limits

    definitions: dict[str, Any] = {}
    properties: dict[str, Any] = {
        "aws:region": {"type": "string", "description": "AWS region. Changing it replaces everything."},
        PREFIX + ACCOUNT: _adapter(AccountId).json_schema(),
    }
    for name, model in provider_keys.HONOURED.items():
        built = _adapter(model).json_schema()
        definitions.update(built.pop("$defs", {}))
        properties[f"aws:{name}"] = built
    for name, model in SECTIONS.items():
        built = _adapter(model).json_schema()
        definitions.update(built.pop("$defs", {}))
        if name in _ENTRIES:
            if model is Graph:
                # A preset brings the others along.
                built["required"] = ["model"]
                built["anyOf"] = [{"required": ["preset"]}, {"required": ["backend", "transport"]}]
            definitions[built["title"]] = built
            built = {
                "type": "object",
                "description": {"models": "Models by name.", "graphs": "Graphs by name."}[name],
                "propertyNames": _adapter(DnsLabel if name == "models" else GraphName).json_schema(),
                "maxProperties": MOST_ENTRIES[name],
                "additionalProperties": {"$ref": f"#/$defs/{built['title']}"},
            }
        properties[PREFIX + name] = built
    for name in SECRETS:
        properties[PREFIX + name] = {
            "description": f"Encrypted; set with `pulumi config set --secret {PREFIX}{name}`.",
            "anyOf": [
                {
                    "type": "object",
                    "required": ["secure"],
                    "additionalProperties": False,
                    "properties": {"secure": {"type": "string"}},
                },
                {"type": "string", "pattern": "^<[a-z-]+>$"},
            ],
        }
    schema_limits.tighten(properties, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dynamo-eks stack file",
        "type": "object",
        "required": ["config"],
        "additionalProperties": False,
        "properties": {
            "config": {
                "type": "object",
                "properties": properties,
                "patternProperties": {schema_limits.SECTION: {}, schema_limits.ELSEWHERE: {}},
                "additionalProperties": False,
                **schema_limits.config_rules(),
            },
            # The engine writes these, and takes any scalar for text.
            "secretsprovider": {"type": ["string", "number", "boolean", "null"]},
            "encryptionsalt": {"type": ["string", "number", "boolean", "null"]},
            "encryptedkey": {"type": ["string", "number", "boolean", "null"]},
        },
        "$defs": definitions,
    }

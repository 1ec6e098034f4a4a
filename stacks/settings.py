"""The one reader of a stack's configuration.

`Settings.load()` reads what the engine hands over, `Settings.parse()` the same values from a file. Both report every
fault of the file at once and raise before anything registers. Components never read configuration; they take values.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from components.dynamo.recipes import expanded
from stacks import provider_keys
from stacks.cross import Draft, cross_faults
from stacks.faults import PREFIX, Fault, from_pydantic, one_of, report
from stacks.models import (
    AccountId,
    AssumedRole,
    Capacity,
    Cluster,
    DnsLabel,
    Dynamo,
    Gpu,
    Graph,
    GraphName,
    ModelSource,
    Network,
    Pool,
    RackName,
    Storage,
    Tags,
    UltraServer,
)

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

CLOCK = "DYNAMO_EKS_AT"
"""Environment variable that stands for the present moment (`2026-12-08T10:00:00Z`), for plans as of another one. Unset,
it is now. Read here alone."""


def present() -> datetime:
    """The moment to plan for."""
    given = os.environ.get(CLOCK)
    return datetime.fromisoformat(given) if given else datetime.now(UTC)


class SettingsError(Exception):
    """A stack file with faults; the message is the whole report."""

    def __init__(self, stack: str, faults: list[Fault]) -> None:
        super().__init__(report(stack, faults))
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
    tags: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, ModelSource] = field(default_factory=dict)
    graphs: Mapping[str, Graph] = field(default_factory=dict)
    accounts: tuple[str, ...] = ()
    """AWS accounts the stack may be made in (`account`, or `aws:allowedAccountIds`); empty when none is pinned."""
    profile: str | None = None
    """Profile of everything that asks AWS; None for the shell's identity."""
    assume_role: AssumedRole | None = None
    """Role that everything assumes before it asks AWS."""
    secrets: Mapping[str, Any] = field(default_factory=dict)
    """Secret values by key, as pulumi secret Outputs (or, parsed from a file, the text found there)."""
    at: datetime = field(default_factory=present)
    """Moment the settings are read for: it decides what of a Capacity Block is still to come."""

    @property
    def cluster_name(self) -> str:
        return self.cluster.name or f"dynamo-{self.stack}"

    @classmethod
    def load(cls) -> Settings:
        """Read the running stack's configuration; raises `pulumi.RunError` with every fault."""
        import pulumi
        from pulumi.runtime.config import CONFIG, get_config_env

        values = {**get_config_env(), **CONFIG.get()}
        secret = {key for key in values if pulumi.runtime.is_config_secret(key)}
        try:
            settings = cls.parse(pulumi.get_stack(), values, secret)
        except SettingsError as error:
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
    ) -> Settings:
        """Check values by full key (`dynamo-eks:network`); raises SettingsError with every fault found. `at` is the moment
        to check for, by default the present one."""
        at = at or present()
        faults: list[Fault] = []
        known = {ACCOUNT, *SECTIONS, *SECRETS}
        for key, value in values.items():
            if key.startswith(PREFIX) and (name := key.removeprefix(PREFIX)) not in known:
                faults.append(Fault(key, one_of(name, known, "no such key, but"), _object(value)))
        raw = {name: _object(values.get(PREFIX + name)) for name in SECTIONS}
        # A section that is null says as much as one that is absent.
        raw = {name: {} if given is None else given for name, given in raw.items()}
        parsed: dict[str, Any] = {}
        broken: set[str] = set()
        for name, model in SECTIONS.items():
            given = raw[name]
            if name in _ENTRIES:
                parsed[name] = _entries(name, model, given, faults, broken)
            elif name == "capacity" and isinstance(given, dict):
                parsed[name] = _capacity(given, faults, broken)
            else:
                parsed[name] = _one(name, model, given, faults)
            if parsed[name] is None:
                broken.add(name)
        access, account = _access(values, faults)
        faults += provider_keys.unread(values)
        secrets = {name: values[PREFIX + name] for name in SECRETS if values.get(PREFIX + name) is not None}
        for name in secrets:
            if PREFIX + name not in secret_keys:
                faults.append(
                    Fault(
                        name,
                        "an encrypted value; the text here can be read by whoever sees the file, so it must be revoked",
                        "[hidden]",
                        fix=f"pulumi config set --secret {PREFIX}{name}",
                    )
                )
        draft = Draft(
            stack=stack,
            region=_text(values.get("aws:region")),
            given=raw,
            broken=frozenset(broken),
            secrets=frozenset(secrets),
            at=at,
            account=account,
            access=access,
            **parsed,
        )
        faults += cross_faults(draft)
        if faults:
            raise SettingsError(stack, faults)
        who = _identity(values, access, account)
        return cls(
            stack=stack,
            region=draft.region,
            accounts=who.accounts,
            profile=who.profile,
            assume_role=who.assume_role,
            secrets=secrets,
            at=at,
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
    # Pulumi.yaml's default is empty text: the engine demands a value of a key without one.
    pinned = values.get(PREFIX + ACCOUNT) not in (None, "")
    account = _given(values, PREFIX + ACCOUNT, AccountId, faults) if pinned else None
    return {
        name: _given(values, f"aws:{name}", model, faults) for name, model in provider_keys.HONOURED.items()
    }, account


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
        except ValueError:
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
        return _adapter(model).validate_json(json.dumps(given))
    except ValidationError as error:
        faults += from_pydantic(error.errors(), section, lambda loc: _keys_at(model, loc))
        return None


def _entries(name: str, model: Any, given: Any, faults: list[Fault], broken: set[str]) -> dict[str, Any]:
    """Entries of a mapping, each checked by itself, so that one faulty graph does not hide the others' faults."""
    if not isinstance(given, dict):
        faults.append(Fault(name, "entries by name", given))
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
                "additionalProperties": {"$ref": f"#/$defs/{built['title']}"},
            }
        properties[PREFIX + name] = built
    for name in SECRETS:
        properties[PREFIX + name] = {
            "type": "object",
            "description": f"Encrypted; set with `pulumi config set --secret {PREFIX}{name}`.",
            "required": ["secure"],
            "additionalProperties": False,
            "properties": {"secure": {"type": "string"}},
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dynamo-eks stack file",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": properties,
                "patternProperties": {provider_keys.SCHEMA_PATTERN: {}},
                "additionalProperties": False,
            },
            "secretsprovider": {"type": "string"},
            "encryptionsalt": {"type": "string"},
            "encryptedkey": {"type": "string"},
        },
        "$defs": definitions,
    }

"""What every setting is made of: the strict model, and the kinds of text that several layers take.

Keys are camelCase in YAML and snake_case here. A field's docstring is its description in the stack schema: meaning, unit, and
what changing it does.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

from . import aws_values


class Model(BaseModel):
    """Unknown keys fail (the only defence against misspelt nested keys), types are strict, values are frozen."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        # snake_case for programs; whoever reads a file asks for its own names alone (`by_name=False`).
        alias_generator=to_camel,
        validate_by_name=True,
        use_attribute_docstrings=True,
        # Models are built when first used, each once, as part of the section that holds them: half the import time.
        defer_build=True,
    )


def _quoted(value: Any) -> Any:
    # YAML reads 1.30 as the number 1.3, and the digit is gone before the program sees it.
    if isinstance(value, float):
        raise ValueError('a version in quotes, such as "1.35" (without quotes YAML reads 1.30 as 1.3)')
    return value


def ipv4_range(value: str) -> str:
    try:
        network = ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"an IPv4 range in CIDR notation without host bits, such as 10.64.0.0/16 ({error})") from None
    if network.version == 4 and value != str(network):
        raise ValueError(f"the range with its length, {network}")
    if network.version != 4:
        raise ValueError("an IPv4 range; IPv6 clusters are not supported")
    return value


def _some(value: str) -> str:
    if not re.search("[1-9]", value):
        raise ValueError("more than nothing")
    return value


def _megabytes(value: str) -> str:
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", value).groups()  # type: ignore[union-attr] its pattern holds
    powers = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}
    size = float(number) * (1024 if unit.endswith("i") else 1000) ** powers[unit.removesuffix("i").replace("K", "k")]
    if not 10**6 <= size <= 2**46:
        raise ValueError('memory between 1M and 64Ti with its unit, such as "16Gi"; without one it is a count of bytes')
    return value


Cidr = Annotated[str, AfterValidator(ipv4_range)]
PublicCidr = Annotated[Cidr, AfterValidator(aws_values.public_cidr)]
ZoneId = Annotated[str, StringConstraints(pattern=r"^[a-z]+[0-9]-(az[0-9]+|[a-z]+[0-9]+-az[0-9]+)$")]
DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
RoleArn = Annotated[str, AfterValidator(aws_values.principal_arn)]
InstanceType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$")]
Cpu = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{1,6}(\.[0-9]{1,3})?$|^[0-9]{1,9}m$"),
    AfterValidator(lambda value: _some(value)),
]
"""CPUs as Kubernetes has them: thousandths at the finest."""

Memory = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{7,15}$|^[0-9]{4,12}(k|Ki)$|^[0-9]{1,9}(\.[0-9]{1,9})?(M|G|T|Mi|Gi|Ti)$"),
    AfterValidator(lambda value: _some(value)),
    AfterValidator(lambda value: _megabytes(value)),
]
KubernetesVersion = Annotated[str, BeforeValidator(_quoted), StringConstraints(pattern=r"^1\.[0-9]{2}$")]
Release = Annotated[str, BeforeValidator(_quoted), StringConstraints(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]
EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Environment = dict[EnvironmentName, str]
Duration = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,7}(s|m|h))+$", max_length=32)]
_MOMENT = r"^([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})([Tt]| +)([0-9]{1,2}):([0-9]{2})(:([0-9]{2})([.,][0-9]+)?)? *"
MOMENT = _MOMENT + r"(Z|z|UTC|[+-]00(:?00)?( [A-Z+-][A-Z0-9+-]*)?)$"
"""A moment in UTC in every form in which it can arrive: as written in quotes, and as the engine hands over what YAML takes
for a date (`2026-12-08 11:30:00 +0000 UTC`, Go's own)."""

_OFFSET = re.compile(_MOMENT + r"([+-])([0-9]{2}):?([0-9]{2})?( [A-Z+-][A-Z0-9+-]*)?$")
_EXPECTED = 'a moment in UTC in quotes with a Z at the end, such as "2026-12-08T11:30:00Z"'


def moment_of(value: Any) -> datetime:
    """A moment in any of those forms; raises ValueError that says what is expected, and what another offset means in UTC."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError(_EXPECTED)
    try:
        if found := re.fullmatch(MOMENT, value):
            return _of_groups(found)
        if found := _OFFSET.fullmatch(value):
            sign, hours, minutes = found.groups()[9:12]
            off = timedelta(hours=int(hours), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
            there = _of_groups(found) - off
            raise ValueError(f"{_EXPECTED}; with that offset it is {there:%Y-%m-%dT%H:%M:%SZ}")
    except OverflowError:
        pass
    raise ValueError(_EXPECTED)


def _of_groups(found: re.Match[str]) -> datetime:
    year, month, day, _, hour, minute, _, second, fraction = found.groups()[:9]
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"{_EXPECTED} ({error})") from None
    return moment + timedelta(microseconds=int((fraction or ".0")[1:7].ljust(6, "0")))


Moment = Annotated[
    datetime, BeforeValidator(moment_of), WithJsonSchema({"type": "string", "format": "date-time", "pattern": MOMENT})
]


def seconds(duration: str) -> int:
    """`1h30m` in seconds."""
    unit = {"h": 3600, "m": 60, "s": 1}
    return sum(int(count) * unit[each] for count, each in re.findall(r"(\d+)([hms])", duration))

"""`python -m operations.new`: a stack file of one's own, made from one that is shipped.

Exit code 0 when it is written, 1 when it is and the token could not be encrypted into it, 2 when it is not, and then nothing is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from components.network.zones import REGION_ZONES, usable
from operations.credentials import Access, Caller, NoIdentity
from stacks import stackfile
from stacks.editing import edited
from stacks.placeholders import KNOWN, ToFillIn
from stacks.settings import SettingsError, left_open

ADMINS, REACH, ACCOUNT, REGION, TOKEN = (
    "cluster.admins",
    "cluster.publicAccessCidrs",
    "account",
    "aws:region",
    "huggingFaceToken",
)


_KEYS = re.compile(r"^(secretsprovider|encryptionsalt|encryptedkey):.*\n?", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the owner of the new stack says; None for what was not said, which stays as it is in the source."""

    region: str | None = None
    account: str | None = None
    admins: Sequence[str] | None = None
    """ARNs of IAM roles; an empty list leaves the cluster to whoever creates it."""
    reach: Sequence[str] | None = None
    """Ranges that may reach the API endpoint; an empty list makes it private."""
    zones: Mapping[str, str] = field(default_factory=dict)
    """Zone ids of the new region by those of the source."""
    blocks: Sequence[Block] = ()
    """Reservations in the order in which the source leaves them to fill in."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A reservation of one's own, and what EC2 says of it where it could be asked."""

    id: str
    zone: str | None = None
    start: str | None = None
    end: str | None = None


def changes(text: str, config: Mapping[str, Any], given: Given) -> dict[str, Any]:
    """What changes in a source's text, as new values by dotted path. Raises ValueError for a block too many."""
    open_ = left_open(config)
    made: dict[str, Any] = {}
    for path, value in ((REGION, given.region), (ACCOUNT, given.account)):
        if value is not None and path in _paths(config) and value != _value(config, path):
            made[path] = value
    if given.admins is not None:
        made[ADMINS] = list(given.admins)
    if given.reach is not None:
        made[REACH] = list(given.reach)
    places = list(dict.fromkeys(item.key for item in open_ if item.placeholder in _RESERVATIONS))
    if len(given.blocks) > len(places):
        raise ValueError(f"{len(given.blocks)} reservations are given, and the source leaves {len(places)} to fill in")
    for place, block in zip(places, given.blocks, strict=False):
        made[place] = block.id
        above = place.rpartition(".")[0]
        for name in ("zone", "start", "end"):
            if (value := getattr(block, name)) is not None:
                made[f"{above}.{name}"] = value
    for path, value in _texts(config):
        if value in given.zones and path not in made:
            made[path] = given.zones[value]
    return made


_RESERVATIONS = tuple(name for name in KNOWN if name.endswith("reservation-id>"))
_ZONE = re.compile(r"^[a-z]+[0-9]-(?:[a-z]+[0-9]+-)?az[0-9]+$")


def _value(config: Mapping[str, Any], path: str) -> Any:
    return config.get(path, config.get(f"dynamo-eks:{path}"))


def _paths(config: Mapping[str, Any]) -> set[str]:
    return {key.removeprefix("dynamo-eks:") for key in config}


def _texts(value: Any, path: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            name = key.removeprefix("dynamo-eks:")
            yield from _texts(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _texts(item, f"{path}[{position}]")


def named_zones(config: Mapping[str, Any]) -> list[str]:
    """Zone ids that a stack names; another region has others."""
    return sorted({value for _, value in _texts(config) if _ZONE.match(value)})


# --- what can be looked up -------------------------------------------------------------------------------------------


def caller(region: str) -> Caller | None:
    """Who the shell's credentials are; None when nobody can be asked."""
    try:
        return Access(region=region).caller()
    except NoIdentity:
        return None


def own_address() -> str | None:
    """The public address that this machine comes from, as AWS sees it; None when nobody can be asked."""
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        with urlopen("https://checkip.amazonaws.com", timeout=3) as answer:
            found = answer.read(64).decode().strip()
    except (URLError, OSError, UnicodeDecodeError):
        return None
    return found if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", found) else None


def block_of(reservation: str, region: str) -> Block:
    """What EC2 says of a reservation: zone and window. Only the id when nobody can be asked, or it is not there."""
    from botocore.exceptions import BotoCoreError, ClientError

    from components.capacity.window import moment

    try:
        client = Access(region=region).session().client("ec2")
        (found,) = client.describe_capacity_reservations(CapacityReservationIds=[reservation])["CapacityReservations"]
    except (BotoCoreError, ClientError, NoIdentity, ValueError):
        return Block(id=reservation)
    start, end = found.get("StartDate"), found.get("EndDate")
    return Block(
        id=reservation,
        zone=found.get("AvailabilityZoneId"),
        start=moment(start) if start else None,
        end=moment(end) if end else None,
    )


# --- the command -----------------------------------------------------------------------------------------------------


def main(  # noqa: PLR0913 each is an option of the command line
    stack: Annotated[str, typer.Option(help="Name of the new stack.")],
    source: Annotated[str, typer.Option("--from", help="Shipped stack to start from.")] = "g6e-dev",
    region: Annotated[str | None, typer.Option(help="AWS region.")] = None,
    account: Annotated[str | None, typer.Option(help="AWS account, 12 digits.")] = None,
    admin: Annotated[
        list[str] | None, typer.Option(help="ARN of an IAM role that administers; 'none' for the creator alone.")
    ] = None,
    reach: Annotated[
        list[str] | None, typer.Option(help="Range that may reach the API endpoint; 'none' for a private endpoint.")
    ] = None,
    zone: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=NEW", help="For another region: a zone of the source and the new one."),
    ] = None,
    reservation: Annotated[
        list[str] | None, typer.Option(help="Capacity Reservation, in the order in which the source leaves them open.")
    ] = None,
    token_from: Annotated[
        str | None, typer.Option(metavar="VARIABLE", help="Environment variable that holds a Hugging Face token.")
    ] = None,
) -> None:
    """Write a commented stack file from a shipped one. In a terminal it asks for what is not given."""
    target = _target(stack)
    try:
        file = stackfile.read(source)
    except stackfile.StackFileError as error:
        _refuse(str(error))
    token = _token_of(token_from)
    ask = sys.stdin.isatty()
    on_aws = REGION in file.config
    given = Given()
    if on_aws:
        given = _given(file, ask, region, account, admin, reach, zone, reservation)
    elif region or account or admin or reach or zone or reservation:
        _refuse(
            f"{source} makes nothing in AWS, so there is no region, account, administrator, range or reservation to set"
        )
    if ask and token is None and shutil.which("pulumi") and TOKEN in {item.key for item in left_open(file.config)}:
        token = (
            typer.prompt("Hugging Face token (empty: later)", default="", show_default=False, hide_input=True) or None
        )
    if file.secret_keys:
        keys = ", ".join(file.secret_keys)
        _refuse(f"{source} holds values that only it can decrypt ({keys}); begin with its file as it is in git")
    # The source's own keys to its secrets, which the CLI wrote into it: a new stack gets others.
    text = _KEYS.sub("", file.path.read_text())
    try:
        made = edited(text, changes(text, file.config, given))
    except ValueError as error:
        _refuse(str(error))
    except KeyError as error:
        _refuse(f"{source} has no {error.args[0]} to set; take a source that has it, or add it by hand afterwards")
    left = _write(target, stack, made)
    failed = _encrypt(stack, token) if token is not None else None
    if token is not None and failed is None:
        left = [item for item in left if item.key != TOKEN]
    _next(stack, target, left, on_aws)
    _tell_open(given.blocks)
    if failed is not None:
        typer.echo(f"The token is not in it: {failed}", err=True)
        raise typer.Exit(1)


def _tell_open(blocks: Sequence[Block]) -> None:
    for block in blocks:
        if block.end is None and block.zone is None:
            typer.echo(
                f"EC2 could not be asked about {block.id}: zone, start and end beside it are still the examples. Set them."
            )


def _target(stack: str) -> Path:
    """Where the new stack's file goes; refuses a name that none can have."""
    target = stackfile.ROOT / "stacks" / f"Pulumi.{stack}.yaml"
    if target.exists():
        _refuse(f"stacks/{target.name} is there already, and nothing is overwritten")
    if stack == "all":
        _refuse("`all` means every stack; take another name")
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", stack):
        _refuse(f"a stack's name has lower-case letters, digits and dashes, at most 40; {stack!r} has not")
    return target


def _token_of(variable: str | None) -> str | None:
    """The token in a variable of the environment, and something that can encrypt it."""
    if variable is None:
        return None
    token = os.environ.get(variable)
    if not token:
        _refuse(f"the environment has no {variable}, or it is empty")
    if shutil.which("pulumi") is None:
        _refuse("pulumi is not on PATH, and only it can encrypt the token; leave --token-from out, or `make check`")
    return token


def _given(
    file: stackfile.StackFile,
    ask: bool,
    region: str | None,
    account: str | None,
    admin: Sequence[str] | None,
    reach: Sequence[str] | None,
    zone: Sequence[str] | None,
    reservation: Sequence[str] | None,
) -> Given:
    old = str(file.config[REGION])
    if region is None and ask:
        region = typer.prompt("AWS region", default=old)
    region = region or old
    if region not in REGION_ZONES:
        _refuse(f"{region} is no region of the program's table: {', '.join(sorted(REGION_ZONES))}")
    zones = dict(_pair(item) for item in zone or ())
    if region != old:
        new = ", ".join(item.zone_id for item in usable(REGION_ZONES[region]))
        for name in named_zones(file.config):
            # UltraServers stand in Local Zones; an ordinary zone in the place of one has none, and nobody would say so.
            local = name.count("-") > 1
            there = "the block's own Local Zone" if local else f"one of {new}"
            if name not in zones and ask:
                zones[name] = typer.prompt(f"Zone of {region} in the place of {name} ({there})")
            if name not in zones:
                _refuse(f"{file.stack} names zone {name}, which {region} has not; give --zone {name}=<{there}>")
            if local and zones[name].count("-") < 2:
                _refuse(
                    f"{zones[name]} is no Local Zone, and {file.stack} has an UltraServer in the place of {name}; name the block's"
                )
    found = caller(region) if ask or admin else None
    if found and ask:
        typer.echo(
            f"You are {found.principal}, which becomes an administrator by creating the cluster: name others, or none."
        )
    if account is None and ask:
        account = typer.prompt("AWS account", default=found.account if found else None)
    if admin is None and ask:
        said = typer.prompt(
            "ARN of the IAM role that administers besides you (empty: none)", default="", show_default=False
        )
        admin = [said] if said else ["none"]
    if found and any(found.is_(item) for item in admin or ()):
        _refuse(
            f"{found.principal} is who you are: it becomes an administrator by creating the cluster, and EKS refuses it twice"
        )
    if reach is None and ask:
        address = own_address()
        said = typer.prompt(
            "Range that may reach the API endpoint (none: private)", default=f"{address}/32" if address else None
        )
        reach = [said]
    places = [item for item in left_open(file.config) if item.placeholder in _RESERVATIONS]
    if reservation is None and ask:
        reservation = [
            said
            for item in places
            if (
                said := typer.prompt(
                    f"Reservation of {item.key.rpartition('.')[0]} (empty: later)", default="", show_default=False
                )
            )
        ]
    return Given(
        region=region,
        account=account,
        admins=None if admin is None else [item for item in admin if item != "none"],
        reach=None if reach is None else [item for item in reach if item != "none"],
        zones=zones,
        blocks=[block_of(item, region) for item in reservation or ()],
    )


def _pair(text: str) -> tuple[str, str]:
    old, separator, new = text.partition("=")
    if not separator or not old or not new:
        _refuse(f"--zone {text}: give OLD=NEW, such as use1-az4=use2-az1")
    return old, new


def _write(target: Path, stack: str, text: str) -> list[ToFillIn]:
    """Put the file in its place when it plans; what is still to fill in. Nothing is left of one that does not."""
    import pulumi

    from review.plan import make

    beside = target.with_name(f".{target.name}.new")
    try:
        # Made for this process alone: another one of the same name loses, and nothing of it is lost.
        with beside.open("x", encoding="utf-8") as out:
            out.write(text)
        plan = make(stackfile.read(stack, beside))
        failed = [f"{item.id}: {item.subject}: {item.message}" for item in plan.verdicts if item.verdict == "fail"]
        if failed:
            _refuse("\n".join(["what was given breaks these rules, so nothing was written:", *failed]))
        os.link(beside, target)
        return list(plan.to_fill_in)
    except FileExistsError:
        _refuse(f"stacks/{target.name} is there already, or is being made, and nothing is overwritten")
    except (SettingsError, pulumi.RunError, stackfile.StackFileError) as error:
        _refuse(f"{error}\n\nNothing was written: this is what the file would have been refused for.")
    finally:
        beside.unlink(missing_ok=True)


def _encrypt(stack: str, token: str) -> str | None:
    """Let the CLI encrypt the token with the stack's own key; why it could not. It goes through a pipe, never on a command line."""
    steps = (
        (["pulumi", "stack", "select", "--create", stack], None),
        (["pulumi", "config", "set", "--secret", f"dynamo-eks:{TOKEN}", "--stack", stack], token),
    )
    for words, piped in steps:
        try:
            ended = subprocess.run(
                [*words, "--non-interactive"],
                input=piped,
                text=True,
                capture_output=True,
                cwd=stackfile.ROOT,
                check=False,
            )
        except FileNotFoundError:
            return f"pulumi is not on PATH. Later: {' '.join(steps[1][0])}"
        if ended.returncode:
            return f"{ended.stderr.strip()}\nLater: {' '.join(steps[1][0])}"
    return None


def _next(stack: str, target: Path, left: Sequence[ToFillIn], on_aws: bool) -> None:
    typer.echo(f"Written: stacks/{target.name}")
    if left:
        typer.echo("Still to fill in:")
        for item in left:
            typer.echo(f"  {item.key}: {item.text}  {item.meaning} ({item.find})")
    typer.echo(f"Next: make plan STACK={stack}" + (f", make preflight STACK={stack}" if on_aws else ""))


def _refuse(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()

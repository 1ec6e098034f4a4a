"""What a cluster and its nodes need of a network, whoever made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import pulumi


class NodeNetwork(Protocol):
    """`Network` and `ExistingNetwork` both are one."""

    @property
    def vpc_id(self) -> pulumi.Input[str]: ...
    @property
    def zone_names(self) -> Mapping[str, str]:
        """Names of the zones with subnets, by zone id."""
        ...

    @property
    def private_subnet_ids(self) -> Mapping[str, pulumi.Input[str]]:
        """Subnets of nodes and pods, by zone id."""
        ...

    @property
    def rack_subnet_ids(self) -> Mapping[str, pulumi.Input[str]]:
        """Subnets of the nodes of UltraServers, by zone id."""
        ...

    @property
    def efa_security_group_id(self) -> pulumi.Output[str]: ...
    @property
    def egress(self) -> Sequence[pulumi.Resource]:
        """The ways out, which nodes need to join and, in a destroy, to drain."""
        ...

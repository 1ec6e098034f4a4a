"""Every AWS type of this program, one card each."""

from __future__ import annotations

from collections.abc import Mapping

from recording.aws_types import capacity, efs, eks, identity, network
from recording.aws_types.card import Card
from recording.world import Reader

CARDS: Mapping[str, Card] = {
    card.type: card for module in (network, capacity, identity, eks, efs) for card in module.CARDS
}
"""By type token. A type without a card is recorded by nobody."""

READS: Mapping[str, Reader] = {**network.READS, **capacity.READS, **identity.READS}
"""Answers to the program's questions, by token."""

ALWAYS = ("ec2:DescribeAvailabilityZones", "iam:CreateServiceLinkedRole", "sts:GetCallerIdentity")
"""IAM actions of every stack. Sources of all actions: the API calls of terraform-provider-aws 6 (internal/service/*), which
pulumi-aws 7.51 wraps, and the EKS User Guide for what EKS does in the caller's name (PassRole, service-linked roles). Read
2026-11-25."""

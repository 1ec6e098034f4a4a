"""Looks for interrupted creations in AWS: one question for every type, which its card asks.

Ids are as the provider writes them into the state: for routes and policy attachments made up by it, and read by their
inputs (hashicorp/terraform-provider-aws, internal/service/ec2/vpc_route.go and iam/role_policy_attachment.go).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from operations.credentials import Access, NoIdentity
from operations.lookup import CannotTell
from operations.state import Resource
from recording.aws_types import CARDS
from recording.aws_types.card import Candidate


class AwsFinder:
    """One account and region, with the stack's identity."""

    def __init__(self, region: str | None, session: Any = None, access: Access | None = None) -> None:
        self.region = region
        self._session = session
        self._access = access or Access(region=region)
        self._clients: dict[str, Any] = {}

    def find(self, resource: Resource) -> Sequence[Candidate]:
        card = CARDS.get(resource.type)
        if card is None or card.ask is None:
            raise CannotTell(f"this program makes no {resource.type}; look for it in the console")
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return card.ask(self, resource.inputs)
        except KeyError as missing:
            raise CannotTell(f"the interrupted entry has no {missing}") from None
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            # A thing whose group, role or cluster is not there is not there either.
            if "NotFound" in code or code == "NoSuchEntity" or "not found" in str(error):
                return []
            raise CannotTell(f"AWS answers {error}") from None
        except (BotoCoreError, NoIdentity) as error:
            raise CannotTell(f"AWS cannot be asked: {error}") from None

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._session = self._session or self._access.session()
            self._clients[service] = self._session.client(service, region_name=self.region)
        return self._clients[service]

    def every(self, service: str, operation: str, key: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """All items of a list, page by page."""
        client = self.client(service)
        if client.can_paginate(operation):
            for page in client.get_paginator(operation).paginate(**arguments):
                yield from page.get(key) or ()
        else:
            yield from getattr(client, operation)(**arguments).get(key) or ()

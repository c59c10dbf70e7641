"""Asks servers what they have, by a person's click or command: one server for its models, this machine for servers.

Must not be called by itself. The clients are imported off the loop, when the first server is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from backends.cloud.known_models import KnownModels
from backends.cloud.offers import ModelList, instead_of
from backends.cloud.providers import CloudModel, Endpoint, endpoint_for, model_of
from backends.egress import Egress
from backends.errors import KeyRefused, NearfarError, NetworkNotAllowed
from backends.key_ring import KeyRing
from backends.records import Target
from backends.settings import Settings
from backends.targets import SELF_HOSTED

if TYPE_CHECKING:
    from backends.cloud.discovery import FoundServer

LIST_PURPOSE = "list models"
ANY_MODEL = "default"  # stands for a model where only the server is meant


class Servers:
    """Use it on the engine loop; `instead` and `consent` from any thread."""

    def __init__(
        self,
        known: KnownModels,
        *,
        settings: Callable[[], Settings],
        egress: Egress,
        keys: KeyRing,
        offered: Callable[[Endpoint], tuple[CloudModel, ...]],
    ) -> None:
        self._known = known
        self._settings = settings
        self._egress = egress
        self._keys = keys
        self._offered = offered

    def consent(self, endpoint: Endpoint) -> None:
        """The person asked this server for its models: it may be contacted for that. Raises NetworkNotAllowed."""
        if not endpoint.leaves_machine:
            return
        if not self._egress.end_local_only(unless=lambda: bool(self._settings().local_only)):
            raise NetworkNotAllowed(
                f"Local only is switched on, so {endpoint.host} was not asked for its models.",
                fix="Turn local only off, or type the name of the model.",
            )
        self._egress.allow_for(LIST_PURPOSE, [endpoint.host])

    async def list_models(self, target: Target) -> ModelList:
        """Ask the server of a target for its models and remember them; see `consent`. Raises NearfarError."""
        endpoint = self._endpoint(target)
        self.consent(endpoint)
        asking = await asyncio.to_thread(importlib.import_module, "backends.cloud.model_list")
        await self._keys.load([endpoint.key_entry])
        key = self._keys.get(endpoint.key_entry)
        try:
            listed: ModelList = await asking.fetch_models(self._egress, endpoint, key)
        except KeyRefused:
            if key is not None:
                self._keys.refuse(endpoint.key_entry, key)
            raise
        await asyncio.to_thread(self._known.keep, listed)
        return listed

    async def look(self) -> tuple[FoundServer, ...]:
        """The servers that run on this machine; their models are remembered, those of servers that are gone are not.

        An address that cannot be used is passed over.
        """
        endpoints = []
        for provider in SELF_HOSTED:
            try:
                endpoints.append(self._endpoint(Target(provider, ANY_MODEL)))
            except NearfarError:
                continue
        looking = await asyncio.to_thread(importlib.import_module, "backends.cloud.discovery")
        found: tuple[FoundServer, ...] = await looking.find_servers(self._egress, endpoints)
        await asyncio.to_thread(self._remember, endpoints, {each.endpoint.base_url: each.models for each in found})
        return found

    def _remember(self, asked: list[Endpoint], lists: Mapping[str, ModelList | None]) -> None:
        own = self._own_addresses()
        for endpoint in asked:
            listed = lists.get(endpoint.base_url)
            if listed is not None:
                self._known.keep(listed)
            elif not endpoint.leaves_machine and endpoint.base_url not in own:
                self._known.forget(endpoint.base_url)

    def _own_addresses(self) -> frozenset[str]:
        """Where the servers that the person named are: their lists stay, whatever else was looked for there."""
        found = set()
        for name in self._settings().custom_servers:
            with contextlib.suppress(NearfarError):  # a kind that was moved is no server of this name
                found.add(self._endpoint(Target("custom", f"{name}/{ANY_MODEL}")).base_url)
        return frozenset(found)

    def instead(self, target: Target) -> Target | None:
        """What the same provider offers in place of a model that it does not have."""
        try:
            endpoint = self._endpoint(target)
        except NearfarError:
            return None
        model = model_of(target)
        other = instead_of(endpoint, model, self._offered(endpoint))
        if other is None:
            return None
        server, slash, _model = target.model.partition("/")
        return Target(target.provider, f"{server}{slash}{other}" if target.provider == "custom" else other)

    def _endpoint(self, target: Target) -> Endpoint:
        return endpoint_for(target, addresses=self._settings().custom_servers)

"""Asks servers what they have, by a person's click or command: one server for its models, this machine for servers.

Must not be called by itself. The clients are imported off the loop, when the first server is asked.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from backends.cloud.known_models import KnownModels
from backends.cloud.offers import ModelList, instead_of
from backends.cloud.providers import CloudModel, Endpoint, endpoint_for, model_of
from backends.egress import Egress
from backends.errors import KeyLacksRight, KeyRefused, NearfarError, NetworkNotAllowed
from backends.keys import Secret
from backends.records import Target
from backends.settings import Settings
from backends.targets import SELF_HOSTED

if TYPE_CHECKING:
    from backends.cloud.discovery import FoundServer

LIST_PURPOSE = "list models"
ANY_MODEL = "default"  # stands for a model where only the server is meant


class Servers:
    """`key` gives the key kept under a name; `refused` is told of one that a server did not accept.
    Use it on the engine loop; `instead` and `consent` from any thread."""

    def __init__(
        self,
        known: KnownModels,
        *,
        settings: Callable[[], Settings],
        egress: Egress,
        key: Callable[[str], Secret | None],
        offered: Callable[[Endpoint], tuple[CloudModel, ...]],
        refused: Callable[[str, Secret], None] = lambda _name, _key: None,
    ) -> None:
        self._known = known
        self._settings = settings
        self._egress = egress
        self._key = key
        self._offered = offered
        self._refused = refused

    def consent(self, endpoint: Endpoint) -> None:
        """The person asked this server for its models: it may be contacted for that. Raises NetworkNotAllowed."""
        if not endpoint.leaves_machine:
            return
        if self._settings().local_only:
            raise NetworkNotAllowed(
                f"Local only is switched on, so {endpoint.host} was not asked for its models.",
                fix="Turn local only off, or type the name of the model.",
            )
        self._egress.set_local_only(False)
        self._egress.allow_for(LIST_PURPOSE, [endpoint.host])

    async def list_models(self, target: Target) -> ModelList:
        """Ask the server of a target for its models and remember them; see `consent`. Raises NearfarError."""
        endpoint = self._endpoint(target)
        self.consent(endpoint)
        asking = await asyncio.to_thread(importlib.import_module, "backends.cloud.model_list")
        key = self._key(endpoint.key_name)
        try:
            listed: ModelList = await asking.fetch_models(self._egress, endpoint, key)
        except KeyRefused as error:
            if key is not None and not isinstance(error, KeyLacksRight):
                self._refused(endpoint.key_name, key)
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
        for endpoint in asked:
            listed = lists.get(endpoint.base_url)
            if listed is not None:
                self._known.keep(listed)
            elif not endpoint.leaves_machine:
                self._known.forget(endpoint.base_url)

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

"""What the person allowed about models: asking the hub, with which token, and which licences. Must not download."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from backends.egress import Egress
from backends.errors import NetworkNotAllowed, Problem
from backends.key_holders import HUB
from backends.key_ring import KeyRing, KeyState
from backends.keys import Secret
from backends.models.records import DownloadPlan
from backends.settings import Settings

if TYPE_CHECKING:
    from backends.models.hub import Hub


class Permissions:
    """`hub` is made at its first use; `change` takes settings by name, `save` makes them durable."""

    def __init__(
        self,
        hub: Callable[[], Hub],
        *,
        settings: Callable[[], Settings],
        change: Callable[..., None],
        save: Callable[[], Awaitable[Problem | None]],
        egress: Egress,
        keys: KeyRing,
    ) -> None:
        self._hub = hub
        self._settings = settings
        self._change = change
        self._save = save
        self._egress = egress
        self._keys = keys

    def consent(self) -> None:
        """The person asked for the hub: it may be contacted. Raises NetworkNotAllowed under local only."""
        hub = self._hub()
        address = hub.address
        if address.leaves_machine and not self._egress.end_local_only(unless=lambda: bool(self._settings().local_only)):
            raise NetworkNotAllowed(
                f"Local only is switched on, so {address.host} is not contacted.",
                fix="Turn local only off to download, or import a file that you have.",
            )
        hub.allow()

    def keep_token(self, token: Secret) -> None:
        """A Hugging Face token for gated repos, in this session's memory."""
        self._keys.put(HUB, token)

    async def keep_token_for_good(self, token: Secret) -> KeyState:
        """As `keep_token`, and in the keyring where that takes it."""
        return await self._keys.keep(HUB, token)

    async def load_token(self) -> None:
        """Read the token from the keyring where it was kept there; before a download goes on that may need it."""
        await self._keys.load([HUB])

    def is_accepted(self, plan: DownloadPlan) -> bool:
        """Whether the licence of a download was accepted before."""
        from backends.models.licensing import acceptance_key

        return acceptance_key(plan) in self._settings().accepted_licences

    async def accept(self, plan: DownloadPlan) -> Problem | None:
        """The person accepted this licence; says where that could not be kept for the next time.

        Raises NetworkNotAllowed, and keeps nothing, where local only forbids the download that it is accepted for.
        """
        from backends.models.licensing import acceptance_key

        self.consent()
        accepted = self._settings().accepted_licences
        if acceptance_key(plan) not in accepted:
            self._change(accepted_licences=(*accepted, acceptance_key(plan)))
        return await self._save()

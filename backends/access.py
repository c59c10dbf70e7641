"""Whom a target asks, with which key, and whether the person allowed it. Must not ask anybody itself but to try a key.

Safe from any thread but for the coroutines, which belong to the engine loop.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from datetime import date

from backends.cloud.engine import PURPOSE as ASKING
from backends.cloud.key_test import PURPOSE as KEY_TEST
from backends.cloud.key_test import KeyTest, try_key
from backends.cloud.known_models import KnownModels
from backends.cloud.offers import offers, retires_on
from backends.cloud.providers import CloudModel, Endpoint, endpoint_for
from backends.egress import Egress
from backends.egress_policy import address_of
from backends.errors import KeyMissing, KeyRefused, NearfarError, NetworkNotAllowed, UnknownTarget, UsageError
from backends.key_ring import KeyRing
from backends.keys import Secret, key_from_env
from backends.records import Target
from backends.settings import Settings
from backends.targets import parse_target


class Access:
    """The servers of targets, as the settings, the keyring and the servers' own lists know them now."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        egress: Egress,
        keys: KeyRing,
        known_models: KnownModels,
        *,
        look: Callable[[], None],
    ) -> None:
        """`look` takes over what other processes wrote into the settings."""
        self._look = look
        self._settings = settings
        self._egress = egress
        self._keys = keys
        self._known_models = known_models

    def endpoint(self, target: Target) -> Endpoint | None:
        """The server a target is asked at; None where this machine answers. Raises UnknownTarget, BadAddress."""
        if target.is_local or target.provider == "practice":
            return None
        return endpoint_for(target, addresses=self._settings().custom_servers)

    def offered(self, endpoint: Endpoint) -> tuple[CloudModel, ...]:
        """What a server has today, as far as it is known: its own list if it was asked, and the shipped table."""
        listed = self._known_models.of(endpoint.base_url)
        return offers(endpoint, listed, date.today())  # noqa: DTZ011  announced days are calendar days

    def retires(self, endpoint: Endpoint, model: str) -> date | None:
        """The announced last day of a model, as `offered` knows it."""
        return retires_on(endpoint, self._known_models.of(endpoint.base_url), model)

    def needs_key(self, target: Target) -> bool:
        """Whether somebody must be asked; not where the keyring should give the key when it is needed."""
        endpoint = self.endpoint(target)
        return endpoint is not None and self.server_needs_key(endpoint)

    def server_needs_key(self, endpoint: Endpoint) -> bool:
        """As `needs_key`, for all models of a server."""
        return endpoint.needs_key and not self._keys.expects(endpoint.key_entry)

    async def load_keys(self, targets: Iterable[Target]) -> None:
        """Read from the keyring what it is said to hold for these targets; at most about 3 s, and only once."""
        names = []
        for target in targets:
            with contextlib.suppress(NearfarError):  # the run itself says what is wrong with a target
                endpoint = self.endpoint(target)
                names += [endpoint.key_entry] if endpoint is not None else []
        await self._keys.load(names)

    async def try_key(self, endpoint: Endpoint, key: Secret | None = None) -> KeyTest:
        """Ask a server whether it takes a key, by default the one that is kept; the person wished this contact."""
        name = endpoint.key_entry
        if key is None:
            self._keys.reconsider(name)
            await self._keys.load([name])
        tried = key or self._keys.get(name)
        if tried is None:
            return KeyTest("unclear", f"There is no key to test. {self._keys.state(name).reason}".rstrip())
        if endpoint.leaves_machine and self._egress.end_local_only(unless=lambda: bool(self._settings().local_only)):
            self._egress.allow_for(KEY_TEST, [endpoint.host])
        done = await try_key(endpoint, tried, self._egress)
        if done.outcome == "refused" and key is None:
            self._keys.refuse(name, tried)
        return done

    def keep_key(self, target: Target, key: Secret) -> None:
        """For this session; `keys.keep` also puts it into the keyring."""
        endpoint = self.endpoint(target)
        if endpoint is None:
            raise UnknownTarget(f"{target} takes no key.")
        self._keys.put(endpoint.key_entry, key)

    def keys_from_variables(self, named: Iterable[str], targets: Iterable[Target]) -> None:
        """Take keys from variables, each named as NAME or, where several servers answer these targets, PROVIDER=NAME.

        Raises UsageError or KeyMissing; a sentence never repeats what was named, which may be a key by mistake.
        """
        asked = [endpoint for target in targets if (endpoint := self.endpoint(target)) is not None]
        servers = {endpoint.key_name: endpoint.key_entry for endpoint in asked}
        # A server on this machine gets a key only by its name, so that one key for a provider stays unambiguous.
        takers = {each.key_name for each in asked if not each.charges_nobody} or set(servers)
        listed = " and ".join(sorted(servers))
        given: dict[str, Secret] = {}
        for each in named:
            server, _equals, variable = each.rpartition("=")
            if not server and len(takers) > 1:
                example = " ".join(f"--key-env {name}=NAME" for name in sorted(servers))
                raise UsageError(f"One key would be sent to {listed}.", fix=f"Name one for each: {example}.")
            if server and server not in servers:
                raise UsageError(
                    "--key-env names a provider that no target asks.",
                    fix=f"The targets ask {listed}." if servers else "Leave it out: no target asks a provider.",
                )
            key = key_from_env(variable)
            for name in {server} if server else takers:
                if name in given:
                    raise UsageError(f"--key-env names two keys for {name}.", fix="Name one.")
                given[name] = key
        for name, key in given.items():
            self._keys.put(servers[name], key)

    def consent(self, targets: Iterable[Target]) -> bool:
        """The person chose these targets: their hosts may be contacted. Raises NetworkNotAllowed under local only.

        True where that ended the state in which nothing had been chosen yet.
        """
        self._look()
        began = False
        for target in targets:
            endpoint = self.endpoint(target)
            if endpoint is None or not endpoint.leaves_machine:
                continue
            undecided = self._settings().local_only is None  # the policy may be open for a download or a test
            if not self._egress.end_local_only(unless=lambda: bool(self._settings().local_only)):
                with contextlib.suppress(NetworkNotAllowed):  # the log says it as well, and the policy may be behind
                    self._egress.check_host(ASKING, endpoint.destination, address_of(endpoint.base_url)[1])
                raise NetworkNotAllowed(f"Local only is switched on, so {endpoint.destination} is not contacted.")
            began = began or undecided
            for host in {endpoint.host, endpoint.destination}:
                self._egress.allow(host)
        return began

    def keep_only(self, names: Iterable[str]) -> None:
        """Take back the hosts that were allowed for targets other than these."""
        hosts: set[str] = set()
        for name in names:
            with contextlib.suppress(NearfarError):  # a lane without a target, or without an address, contacts nobody
                endpoint = self.endpoint(parse_target(name))
                hosts |= set() if endpoint is None else {endpoint.host, endpoint.destination}
        self._egress.allow_only(hosts)

    def key_of(self, endpoint: Endpoint) -> Secret | None:
        """The key that a server is asked with, None where there is none. Raises KeyMissing where the keyring has it no
        more, and KeyRefused where the server did not accept it before."""
        key = self._keys.get(endpoint.key_entry)
        if key is None and endpoint.needs_key and self._keys.was_refused(endpoint.key_entry):
            raise KeyRefused(f"{endpoint.label} did not accept the API key.", safe="Nothing was sent.")
        reason = self._keys.state(endpoint.key_entry).reason
        if key is None and endpoint.needs_key and reason:
            raise KeyMissing(
                f"{endpoint.label} needs an API key. {reason}",
                fix="Press Retry when the keyring is unlocked, or enter the key again in Settings.",
            )
        return key

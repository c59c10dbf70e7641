"""The one door to the network: every connection has a purpose, passes the policy and is written down. Must not know
what is sent, nor which screen or command asked.

httpx2 is imported when the first client is made, not when this module is: the window imports it before first paint.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from backends.egress_policy import Policy, address_of, on_this_machine, plain_host
from backends.egress_route import Route
from backends.errors import NetworkCutOff, NetworkNotAllowed

if TYPE_CHECKING:
    import httpx2

    from backends.egress_socket import Connection

LOG_LENGTH = 2000
AROUND = "not asked for by Nearfar"
CONNECT_S, READ_S, WRITE_S, POOL_S = 5.0, 60.0, 30.0, 5.0

Outcome = Literal["connecting", "open", "closed", "failed", "refused", "cut"]


@dataclass(frozen=True, slots=True)
class Contact:
    """One connection, made, tried or refused. Bytes are those of HTTP, headers included, inside any encryption.

    `id` is the same in all that is said of it; `via` is the proxy it went through, or empty.
    """

    purpose: str
    host: str
    port: int
    on_this_machine: bool
    at: datetime
    outcome: Outcome
    requests: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    id: str = ""
    via: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the privacy chip shows. `connections` and `contacted_hosts` count attempts that left this machine.

    `allowed_for` are the pairs of purpose and host pattern that the person allowed, as in `Policy`.
    """

    local_only: bool
    allowed_hosts: tuple[str, ...]
    contacted_hosts: tuple[str, ...]
    connections: int
    since: datetime
    allowed_for: tuple[tuple[str, str], ...] = ()


Listener = Callable[["Entry"], None]
OVER: frozenset[Outcome] = frozenset({"closed", "failed", "refused", "cut"})


class Entry:
    """One line of the log while its connection lives. Written by whoever owns the connection.

    `abort` ends the connection from any thread; `became` tells the listener, on the owner's thread.
    """

    __slots__ = (
        *("abort", "at", "bytes_received", "bytes_sent", "host", "id"),
        *("listener", "outcome", "port", "proxy", "purpose", "requests"),
    )

    def __init__(
        self, purpose: str, host: str, port: int, outcome: Outcome, *, proxy: tuple[str, int] | None = None
    ) -> None:
        self.id = uuid4().hex[:16]
        self.purpose = purpose
        self.host = host
        self.port = port
        self.proxy = proxy
        self.outcome: Outcome = outcome
        self.at = datetime.now(UTC)
        self.requests = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.abort: Callable[[], None] | None = None
        self.listener: Listener | None = None

    def became(self, outcome: Outcome) -> None:
        """The connection opened or ended; the first end stands."""
        if self.outcome in OVER:
            return
        self.outcome = outcome
        if outcome in OVER:
            self.abort = None
        if self.listener is not None:
            self.listener(self)

    def as_contact(self) -> Contact:
        return Contact(
            purpose=self.purpose,
            host=self.host,
            port=self.port,
            on_this_machine=on_this_machine(self.host),
            at=self.at,
            outcome=self.outcome,
            requests=self.requests,
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
            id=self.id,
            via="" if self.proxy is None else f"{self.proxy[0]}:{self.proxy[1]}",
        )


class Egress:
    """Gives out HTTP clients bound to a purpose, and keeps the log. Safe to read from any thread.

    `route` holds from the next connection on. `listener` hears of every entry at its beginning, opening and end.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        self.route = Route()
        self.listener: Listener | None = None
        self._policy = policy or Policy()
        self._since = datetime.now(UTC)
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=LOG_LENGTH)
        self._live: set[Entry] = set()
        self._connections = 0
        self._contacted: dict[str, None] = {}

    @property
    def policy(self) -> Policy:
        return self._policy

    def set_policy(self, policy: Policy) -> None:
        """Holds at once: connections to hosts that it forbids are ended, in mid-answer too."""
        hosts = frozenset(plain_host(host) for host in policy.allowed_hosts)
        with self._lock:
            self._policy = replace(policy, allowed_hosts=hosts)
        self._end_forbidden()

    def set_local_only(self, on: bool) -> None:
        """As `set_policy`, for the one switch. On, it also takes back every host that was allowed."""
        with self._lock:
            self._policy = Policy() if on else replace(self._policy, local_only=False)
        self._end_forbidden()

    def allow_only(self, hosts: Iterable[str]) -> None:
        """Take back the hosts that were allowed and are not among these; what is connected to them ends."""
        wanted = frozenset(plain_host(host) for host in hosts)
        with self._lock:
            self._policy = replace(self._policy, allowed_hosts=self._policy.allowed_hosts & wanted)
        self._end_forbidden()

    def _end_forbidden(self) -> None:
        """Whoever begins later asks the policy under the same lock; whoever opens now asks it once more after that."""
        with self._lock:
            self._live = {entry for entry in self._live if entry.outcome not in OVER}
            forbidden = [entry for entry in self._live if not self._policy.allows(entry.host, entry.purpose)]
        for entry in forbidden:
            abort = entry.abort
            if abort is not None:
                abort()

    def end_local_only(self, *, unless: Callable[[], bool]) -> bool:
        """The person chose something outside; False, and nothing changes, where they have switched local only on.

        `unless` says that. It is asked under the lock that `set_local_only` takes, so one that another thread switches
        on at the same moment, in the settings first and then here, is never undone.
        """
        with self._lock:
            if unless():
                return False
            self._policy = replace(self._policy, local_only=False)
            return True

    def allow(self, host: str) -> None:
        """Add a host the person chose; `local_only` still refuses it."""
        with self._lock:
            self._policy = replace(self._policy, allowed_hosts=self._policy.allowed_hosts | {plain_host(host)})

    def allow_for(self, purpose: str, patterns: Iterable[str]) -> None:
        """Add host patterns (see `host_matches`) for one purpose, as the person chose; `local_only` still refuses."""
        pairs = {(purpose, pattern.lower()) for pattern in patterns}
        with self._lock:
            self._policy = replace(self._policy, allowed_for=self._policy.allowed_for | pairs)

    def check(self, purpose: str, url: str) -> None:
        """Raise NetworkNotAllowed, and write the refusal down, where the policy refuses the address."""
        self.check_host(purpose, *address_of(url))

    def check_host(self, purpose: str, host: str, port: int) -> None:
        """As `check`, for a host and port."""
        if not self._policy.allows(host, purpose):
            raise self._refusal(purpose, host, port)

    def _refusal(self, purpose: str, host: str, port: int) -> NetworkNotAllowed:
        self._write(Entry(purpose, host, port, "refused"))
        if self._policy.local_only:
            return NetworkNotAllowed(f"Local only is switched on, so {host} was not contacted.")
        return NetworkNotAllowed(
            f"{host} is not among the hosts you allowed, so it was not contacted.",
            fix="Choose a lane that names this host, or a local model.",
        )

    def check_open(self, entry: Entry) -> None:
        """Of a connection in use: raises NetworkNotAllowed, or NetworkCutOff where a request has gone out on it."""
        if self._policy.allows(entry.host, entry.purpose):
            return
        why = "Local only was switched on" if self._policy.local_only else "Its host is not allowed any more"
        entry.became("cut")
        if not entry.requests:
            raise NetworkNotAllowed(f"{why}, so nothing was sent to {entry.host}.")
        raise NetworkCutOff(f"{why}, so the connection to {entry.host} was ended.")

    def begin(self, purpose: str, host: str, port: int, abort: Callable[[], None] | None = None) -> Entry:
        """Write down an attempt to connect, before any name is looked up. Raises NetworkNotAllowed and RouteUnusable.

        `abort` ends the attempt from any thread. From here on the attempt is among those that a new policy ends.
        """
        proxy = None if on_this_machine(host) else self.route.proxy
        entry = Entry(purpose, host, port, "connecting", proxy=proxy)
        entry.abort = abort
        if not self._write(entry):
            raise self._refusal(purpose, host, port)
        return entry

    def went_around(self, host: str, port: int) -> None:
        """Write down that something other than this door tried to connect, which the guard refused."""
        self._write(Entry(AROUND, host, port, "refused"))

    def http_client(self, purpose: str, base_url: str) -> httpx2.AsyncClient:
        """A client for one purpose: no proxies or netrc from the environment, no redirects, the system's trust store.

        Raises NetworkNotAllowed. It takes 0.1 s or more the first time (imports, trust store): call it in a thread.
        """
        self.check(purpose, base_url)
        import httpx2

        from backends.egress_http import RecordingTransport
        from backends.version import APP_VERSION

        return httpx2.AsyncClient(
            transport=RecordingTransport(self, purpose),
            base_url=base_url,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx2.Timeout(connect=CONNECT_S, read=READ_S, write=WRITE_S, pool=POOL_S),
            headers={"User-Agent": f"Nearfar/{APP_VERSION}", "Accept-Encoding": "identity"},
        )

    def connect(self, purpose: str, url: str, *, timeout_s: float) -> Connection:
        """A blocking connection to the server of `url`, for a thread that moves many bytes; recorded like any other.

        Raises NetworkNotAllowed or OSError (ssl.SSLError and socket.gaierror are kinds of it).
        """
        self.check(purpose, url)
        from backends.egress_socket import Connection

        return Connection.open(self, purpose, url, timeout_s)

    def snapshot(self) -> Snapshot:
        with self._lock:
            policy = self._policy
            return Snapshot(
                local_only=policy.local_only,
                allowed_hosts=tuple(sorted(policy.allowed_hosts)),
                contacted_hosts=tuple(self._contacted),
                connections=self._connections,
                since=self._since,
                allowed_for=tuple(sorted(policy.allowed_for)),
            )

    def log(self) -> tuple[Contact, ...]:
        """The last connections, oldest first."""
        with self._lock:
            return tuple(entry.as_contact() for entry in self._entries)

    def _write(self, entry: Entry) -> bool:
        """False, and nothing is written, for an attempt that the policy refuses by now."""
        with self._lock:
            if entry.outcome != "refused":
                if not self._policy.allows(entry.host, entry.purpose):
                    return False
                self._live.add(entry)
                if not on_this_machine(entry.host):
                    self._connections += 1
                    self._contacted[entry.host] = None
            entry.listener = self._heard
            self._entries.append(entry)
        self._heard(entry)
        return True

    def _heard(self, entry: Entry) -> None:
        if entry.outcome in OVER:
            with self._lock:
                self._live.discard(entry)
        if self.listener is not None:
            self.listener(entry)

"""Who serves which models at what address, and how each differs. Must not open connections or see keys."""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, lru_cache
from typing import Any, Literal
from urllib.parse import urlsplit

from backends.egress_policy import address_of, on_this_machine
from backends.errors import BadAddress, BadServerName, UnknownTarget
from backends.records import Target
from resources import resource_path

LimitParameter = Literal["max_completion_tokens", "max_tokens", "both"]

SERVER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
ENDPOINT_PATH = "/chat/completions"


@dataclass(frozen=True, slots=True)
class CloudModel:
    """A model by the provider's name for it; `retires` is the announced last day, `offered` puts it in the picker."""

    id: str
    retires: date | None = None
    offered: bool = True


@dataclass(frozen=True, slots=True)
class Probe:
    """How a server tells what it is: a GET of `path` answers with a JSON object that has the field `has`.

    Where that alone would be too little, its models are also `owned_by` this name. Where it wants a key before it says
    anything, the header `Server` is `server`.
    """

    path: str
    has: str
    owned_by: str | None = None
    server: str | None = None


@dataclass(frozen=True, slots=True)
class PassesOn:
    """Models, by the ends of their ids in any case, whose prompts the server sends on to `host`.

    `from_here` holds for a kind that is not known: only on this machine is it taken for a server that sends on.
    """

    ends: tuple[str, ...]
    host: str
    from_here: bool = False


@dataclass(frozen=True, slots=True)
class Efforts:
    """Which values of reasoning_effort models take whose ids begin so."""

    begins: tuple[str, ...]
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server and how to speak to it.

    `sampling` maps our names of parameters beyond OpenAI's to the server's; `fixed_sampling` holds the beginnings of
    model ids that refuse a temperature; `no_chat` beginnings or parts of ids that do not chat; `key_name` is where its
    key is kept. `service_tier` is what it is asked for, where it has prices by tier. `price_ceiling`: its price depends
    on whom it passes a question to, and the request can name the highest; `reports_cost`: its usage says what was
    charged. `self_hosted` is a kind of server that people run themselves. `sent_on_to` is set for a model whose prompts
    this server sends on to another host.
    """

    provider: str
    label: str
    base_url: str
    needs_key: bool
    key_name: str
    key_page: str | None = None
    price_provider: str | None = None
    price_as_of: str | None = None
    limit_parameter: LimitParameter = "max_completion_tokens"
    include_usage: bool = True
    obfuscation: bool = False
    service_tier: str | None = None
    price_ceiling: bool = False
    reports_cost: bool = False
    sampling: tuple[tuple[str, str], ...] = ()
    fixed_sampling: tuple[str, ...] = ()
    efforts: tuple[Efforts, ...] = ()
    models: tuple[CloudModel, ...] = ()
    self_hosted: bool = False
    no_chat: tuple[str, ...] = ()
    probe: Probe | None = None
    passes_on: PassesOn | None = None
    sent_on_to: str | None = None

    @property
    def host(self) -> str:
        """The host that is asked."""
        return _host_of(self.base_url)

    @property
    def key_entry(self) -> str:
        """Where its key is kept. That of a server that people run is for its address alone: when another machine gets
        the name, the key is not sent there."""
        if not self.base_url or not (self.self_hosted or self.provider == "custom"):
            return self.key_name
        host, port = address_of(self.base_url)
        return f"{self.key_name}@{host}:{port}"

    @property
    def destination(self) -> str:
        """The host that prompts end up at, as the window names it."""
        return self.sent_on_to or self.host

    @property
    def leaves_machine(self) -> bool:
        return not on_this_machine(self.destination)

    @property
    def charges_nobody(self) -> bool:
        """A server that people run themselves, on this machine: without a price of one's own it costs no money."""
        return self.self_hosted and not self.leaves_machine

    @property
    def encrypted(self) -> bool:
        return self.base_url.startswith("https://")

    def model(self, model_id: str) -> CloudModel | None:
        return next((model for model in self.models if model.id == model_id), None)

    def takes_sampling(self, model_id: str) -> bool:
        """False where the model is known to refuse every temperature and top_p but its own."""
        return not model_id.startswith(self.fixed_sampling)

    def takes_effort(self, model_id: str) -> frozenset[str]:
        """The values of reasoning_effort that the model is known to take; the longest beginning decides."""
        known = [
            (len(begin), each.values) for each in self.efforts for begin in each.begins if model_id.startswith(begin)
        ]
        return max(known, key=lambda pair: pair[0])[1] if known else frozenset()

    def chats(self, model_id: str) -> bool:
        """False where the model is known for something else: embeddings, speech, pictures."""
        name = model_id.lower().rpartition("/")[2]
        return not any(name.startswith(part) or (part[0] == "-" and part in name) for part in self.no_chat)

    def asked_for(self, model_id: str) -> Endpoint:
        """This server as it is for one model."""
        passes_on = self.passes_on
        if passes_on is None or not model_id.casefold().endswith(passes_on.ends):
            return self
        if passes_on.from_here and not on_this_machine(self.host):
            return self
        return replace(self, sent_on_to=passes_on.host)


@lru_cache(maxsize=256)
def _host_of(base_url: str) -> str:
    return urlsplit(base_url).hostname or ""


@cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    with resource_path("providers.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def shipped_endpoints() -> Mapping[str, Endpoint]:
    """Every provider with a fixed address, in the order of the picker."""
    return {name: _read(name, row) for name, row in _table().items() if "base_url" in row}


def _read(provider: str, row: Mapping[str, Any]) -> Endpoint:
    checked = row.get("price_as_of")
    return Endpoint(
        provider=provider,
        label=row["label"],
        base_url=row.get("base_url", ""),
        needs_key=row["needs_key"],
        key_name=provider,
        key_page=row.get("key_page"),
        price_provider=row.get("price_provider"),
        price_as_of=checked.isoformat() if checked else None,
        limit_parameter=row["limit_parameter"],
        include_usage=row["include_usage"],
        obfuscation=row.get("obfuscation", False),
        service_tier=row.get("service_tier"),
        price_ceiling=row.get("price_ceiling", False),
        reports_cost=row.get("reports_cost", False),
        sampling=tuple(row.get("sampling", {}).items()),
        fixed_sampling=tuple(row.get("fixed_sampling", ())),
        efforts=tuple(Efforts(tuple(each["begins"]), frozenset(each["values"])) for each in row.get("efforts", ())),
        models=tuple(CloudModel(**model) for model in row.get("models", ())),
        self_hosted=row.get("self_hosted", False),
        no_chat=tuple(row.get("no_chat", ())),
        probe=Probe(**row["probe"]) if "probe" in row else None,
        passes_on=PassesOn(**row["passes_on"] | {"ends": tuple(row["passes_on"]["ends"])})
        if "passes_on" in row
        else None,
    )


def _passes_on(*, ends: list[str], host: str, from_here: bool = False) -> PassesOn:
    return PassesOn(tuple(ends), host, from_here)


def endpoint_for(
    target: Target, *, addresses: Mapping[str, str] | None = None, environ: Mapping[str, str] = os.environ
) -> Endpoint:
    """The server of a cloud target; raises UnknownTarget or BadAddress.

    The address is NEARFAR_<PROVIDER>_BASE_URL if set, else the one in `addresses` (the settings: a provider or the name
    of a server of the person's own), else the shipped one.
    """
    if target.provider == "custom":
        own = _custom(target.model.partition("/")[0], addresses or {}, environ)
        return own.asked_for(model_of(target))
    shipped = shipped_endpoints().get(target.provider)
    if shipped is None:
        raise UnknownTarget(f"{target.provider} is not a server in the cloud.")
    address = environ.get(variable_of(target.provider)) or (addresses or {}).get(target.provider)
    moved = replace(shipped, base_url=check_address(address)) if address else shipped
    return moved.asked_for(target.model)


def practice_endpoint(base_url: str) -> Endpoint:
    """The practice server at the address it was given."""
    return replace(_read("practice", _table()["practice"]), base_url=base_url)


def model_of(target: Target) -> str:
    """The model's name as the server knows it."""
    return target.model.partition("/")[2] if target.provider == "custom" else target.model


def variable_of(name: str) -> str:
    """The environment variable that moves a server: NEARFAR_OPENAI_BASE_URL."""
    return f"NEARFAR_{re.sub(r'[^A-Za-z0-9]', '_', name).upper()}_BASE_URL"


def _custom(name: str, addresses: Mapping[str, str], environ: Mapping[str, str]) -> Endpoint:
    if name in _table() or name == "local":
        raise UnknownTarget(f"A server of your own cannot be called {name}: that is a provider's name.")
    address = environ.get(variable_of(name)) or addresses.get(name)
    if not address:
        raise BadAddress(
            f"There is no address for your server {name[:40]}.",
            fix=f"Set {variable_of(name[:40])} to something like http://127.0.0.1:8080/v1.",
        )
    row = _read("custom", _table()["custom"])
    return replace(row, base_url=check_address(address), label=name, key_name=f"custom:{name}")


def check_server_name(text: str, *, taken: Container[str] = ()) -> str:
    """A name for a server of the person's own; raises BadServerName with what is wrong with it.

    The name of a kind that people run themselves moves that kind; that of any other provider is refused.
    """
    name = text.strip()
    if not SERVER_NAME.fullmatch(name):
        raise BadServerName(f"“{name[:40]}” cannot be the name of a server.")
    row = _table().get(name)
    if name == "local" or (row is not None and not row.get("self_hosted")):
        raise BadServerName(f"A server of your own cannot be called {name}: that is a provider's name.")
    if name in taken:
        raise BadServerName(f"There is a server called {name} already.", fix="Choose another name, or remove that one.")
    return name


def check_address(text: str) -> str:
    """A base address without a trailing slash; raises BadAddress with what is wrong with it."""
    address = text.strip()
    if not address.isascii() or not address.isprintable() or " " in address:
        raise BadAddress("The address has a space or a character that no address has.")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadAddress(f"“{address[:80]}” is not an address.") from None
    if parts.username is not None or parts.password is not None:
        raise BadAddress("The address has a name or a password in it.", fix="Leave it out; a key is asked for apart.")
    if parts.scheme not in ("http", "https"):
        raise BadAddress(f"“{address[:80]}” does not begin with http:// or https://.")
    if not host or port == 0:
        raise BadAddress(f"“{address[:80]}” names no server.")
    if parts.query or parts.fragment:
        raise BadAddress(f"“{address[:80]}” has a ? or # part, which a base address does not have.")
    if _is_no_destination(host):
        raise BadAddress(f"{host} is where servers listen, not where they are reached.", fix="Use 127.0.0.1 instead.")
    return address.rstrip("/").removesuffix(ENDPOINT_PATH)


def _is_no_destination(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False

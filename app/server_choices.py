"""What the picker offers of servers: their models, as far as they were listed, and the rows that ask for more.

Must not ask a server, nor know widgets' looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from backends.cloud.offers import FRESH_DAYS, ModelList
from backends.cloud.providers import Endpoint, endpoint_for, shipped_endpoints
from backends.cloud.servers import ANY_MODEL
from backends.errors import NearfarError
from backends.records import Target
from backends.workbench import Workbench
from widgets import format as fmt
from widgets.values import GROUP_CLOUD, GROUP_OWN, GROUP_SERVERS, THIS_MACHINE, ServerLine, TargetAction

LOOK = "look"
LIST = "list:"
LOCAL_ONLY_REASON = "Local only is on"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that can be asked for its models. `target` stands for any model of it; `endpoint` is None where its
    address cannot be used, and `problem` says why."""

    name: str
    target: Target
    endpoint: Endpoint | None
    problem: str = ""

    @property
    def group(self) -> str:
        if self.target.provider == "custom":
            return GROUP_OWN
        if not shipped_endpoints()[self.target.provider].self_hosted:
            return GROUP_CLOUD
        here = self.endpoint is None or not self.endpoint.leaves_machine
        return GROUP_SERVERS if here else GROUP_OWN


def target_of(name: str) -> Target:
    """Any model of the server that a person gave this name; by the name of a kind, it is that kind, moved."""
    return Target(name, ANY_MODEL) if name in shipped_endpoints() else Target("custom", f"{name}/{ANY_MODEL}")


def servers(bench: Workbench) -> Iterator[Server]:
    """The providers of the shipped table, then the person's own servers."""
    named = dict.fromkeys([*shipped_endpoints(), *bench.settings.custom_servers])
    for name in named:
        target = target_of(name)
        try:
            yield Server(name, target, endpoint_for(target, addresses=bench.settings.custom_servers))
        except NearfarError as error:
            yield Server(name, target, None, error.problem.what)


def actions(bench: Workbench) -> list[TargetAction]:
    """The rows that look for servers on this machine, and that ask one server for its models."""
    look = TargetAction(
        LOOK,
        "Look for servers on this machine…",
        "Ollama, llama.cpp, LM Studio, vLLM, TGI; asks this machine alone",
        GROUP_SERVERS,
        "magnifying-glass",
    )
    return [look, *(_list(bench, server) for server in servers(bench) if _is_asked_alone(server))]


def _is_asked_alone(server: Server) -> bool:
    """Servers of a known kind on this machine are all asked together, by looking for them."""
    return server.endpoint is not None and server.group != GROUP_SERVERS


def _list(bench: Workbench, server: Server) -> TargetAction:
    endpoint = server.endpoint
    assert endpoint is not None, "see _is_asked_alone"
    label = endpoint.label
    listed = bench.known_models.of(endpoint.base_url)
    where = endpoint.host if endpoint.leaves_machine else THIS_MACHINE
    detail = f"asks {where}, without a prompt"
    if listed is not None:
        detail = f"as of {_day(listed)}; {detail}"
    refused = endpoint.leaves_machine and bench.settings.local_only is True
    return TargetAction(
        f"{LIST}{server.name}",
        f"List the models of {label}{' again' if listed is not None else ''}…",
        detail,
        server.group,
        disabled_reason=LOCAL_ONLY_REASON if refused else None,
    )


def _day(listed: ModelList) -> str:
    """When a server was asked, and how long ago where that is long."""
    day, today = listed.as_of.astimezone().date(), date.today()  # noqa: DTZ011  calendar days
    age_days = (today - day).days
    return f"{fmt.day(day)}, {age_days} days ago" if age_days > FRESH_DAYS else fmt.day(day)


def server_lines(bench: Workbench) -> tuple[ServerLine, ...]:
    """The person's own servers, for the Settings page."""
    mine = [server for server in servers(bench) if server.name in bench.settings.custom_servers]
    return tuple(_line(bench, server) for server in mine)


def _line(bench: Workbench, server: Server) -> ServerLine:
    address = bench.settings.custom_servers[server.name]
    endpoint = server.endpoint
    if endpoint is None:
        return ServerLine(server.name, address, problem=server.problem)
    where = endpoint.host if endpoint.leaves_machine else THIS_MACHINE
    listed = bench.known_models.of(endpoint.base_url)
    if listed is None:
        return ServerLine(server.name, endpoint.base_url, where)
    number = len(bench.access.offered(endpoint))
    words = f"{number} model{'' if number == 1 else 's'} on {_day(listed)}"
    return ServerLine(server.name, endpoint.base_url, where, words)

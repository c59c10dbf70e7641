"""A doctor's report as JSON for scripts and as text for people. Pure: must not look at the machine again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from backends.devices.records import Device, DeviceUser
from backends.devices.unused import backend_names
from backends.doctor import DoctorReport, gib
from backends.egress import Contact
from backends.fit.learned_words import learned_as_json, learned_lines
from backends.keyring_state import KeyringState

SHOWN_BYTES = 2**30 // 10
SHOWN_CONTACTS = 10
UNREACHED = {"failed": "no connection came about", "connecting": "how it ended is not known"}


def as_json(report: DoctorReport) -> dict[str, Any]:
    """The fields that scripts are promised; sizes in bytes, unknown is null."""
    facts, paths, settings = report.llama_cpp, report.paths, report.settings
    return {
        "app": report.app,
        "python": report.python,
        "llama_cpp": {
            "version": facts.version if facts is not None else None,
            "backends": list(facts.backends) if facts is not None else [],
            "gpu_offload": facts.gpu_offload if facts is not None else None,
            "devices": [asdict(each) for each in facts.devices] if facts is not None else [],
        },
        "devices": [asdict(each) for each in report.devices],
        "cpu": asdict(report.cpu),
        "memory": asdict(report.memory),
        "keyring": {"backend": report.keyring.backend, "usable": report.keyring.usable},
        "network": {
            "policy": "local_only" if report.network.local_only else "allowed_hosts",
            "allowed_hosts": list(report.network.allowed_hosts),
            "connections_since_start": report.network.connections,
            "proxy": settings.proxy_url if settings is not None else None,
            "ca_file": settings.ca_file if settings is not None else None,
            "log": [_contact(each) for each in report.contacts],
        },
        "paths": {
            "config": str(paths.config),
            "data": str(paths.data),
            "cache": str(paths.cache),
            "logs": str(paths.logs),
            "models": str(paths.models),
            "settings_file": str(paths.settings_file),
            "history_file": str(paths.history_file),
            "connections_file": str(paths.contacts_file),
            "prices_file": str(paths.prices_file),
            "price_table_file": str(paths.price_table_file),
            "ledger_file": str(report.ledger_file) if report.ledger_file is not None else None,
            "ledger_folder": str(paths.ledger_folder),
        },
        "settings": {
            "local_only": settings.local_only if settings is not None else None,
            "keep_history": settings.keep_history if settings is not None else None,
        },
        "learned": learned_as_json(report.learned),
        "problems": [{"what": each.what, "fix": each.fix} for each in report.problems],
    }


def as_text(report: DoctorReport) -> str:
    """Plain text for a terminal, without colours; names from drivers are stripped of control characters."""
    rows = [
        ("Nearfar", f"{report.app} on Python {report.python}"),
        ("llama.cpp", _llama_cpp(report)),
        *_numbered("Device", [_device(each) for each in report.devices]),
        ("Processor", _cpu(report)),
        ("Memory", _memory(report)),
        ("Keyring", _keyring(report.keyring)),
        ("API keys", _keys(report)),
        ("Network", _network(report)),
        *_contacts(report.contacts),
        *_settings(report),
        *(("Learned", line) for line in learned_lines(report.learned)),
        *(("Files", str(each)) for each in (report.paths.config, report.paths.data, report.paths.models)),
    ]
    width = max(len(head) for head, _ in rows) + 2
    lines = [f"{head:<{width}}{text}" for head, text in rows]
    if not report.problems:
        return _printable([*lines, "", "No problems found."])
    count = len(report.problems)
    lines += ["", "1 problem:" if count == 1 else f"{count} problems:"]
    for each in report.problems:
        lines += [f"- {each.what}", f"  {each.fix}"]
    return _printable(lines)


def _printable(lines: Sequence[str]) -> str:
    return "\n".join("".join(letter if letter.isprintable() else "?" for letter in line) for line in lines) + "\n"


def _numbered(head: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"{head} {number}", text) for number, text in enumerate(texts, 1)]


def _llama_cpp(report: DoctorReport) -> str:
    facts = report.llama_cpp
    if facts is None:
        return "did not start"
    offload = "models can use the GPU" if facts.gpu_offload else "models run on the CPU"
    built_for = ", ".join(backend_names(facts)) or "nothing it names"
    return f"llama-cpp-python {facts.version}, built for {built_for}; {offload}"


def _device(device: Device) -> str:
    """The CPU's bandwidth stands with the memory, where it is said how it was measured."""
    is_gpu = device.kind == "gpu"
    parts = [device.name if is_gpu else f"{device.name} (CPU)"]
    if device.total_bytes is None:
        parts.append("memory unknown")
    else:
        free = "?" if device.free_bytes is None else gib(device.free_bytes)
        parts.append(f"{free} of {gib(device.total_bytes)} free")
    if device.memory == "shared":
        parts.append("shared with the computer")
    if is_gpu and device.bandwidth_gb_s is not None:
        how = " (by its name)" if device.bandwidth_source == "table" else ""
        parts.append(f"{device.bandwidth_gb_s:.0f} GB/s{how}")
    if device.driver is not None:
        parts.append(f"driver {device.driver}" + (f" for CUDA {device.cuda_version}" if device.cuda_version else ""))
    if is_gpu and device.backend is not None:
        parts.append(f"{device.backend} in llama.cpp")
    users = [_user(user) for user in device.in_use_by]
    return ", ".join(parts) + (f"; in use by {', '.join(users)}" if users else "")


def _user(user: DeviceUser) -> str:
    name = user.name or f"process {user.pid}"
    return f"{name} ({gib(user.used_bytes)})" if user.used_bytes and user.used_bytes >= SHOWN_BYTES else name


def _cpu(report: DoctorReport) -> str:
    physical, logical = report.cpu.physical_cores, report.cpu.logical_cores
    cores = [f"{physical} cores"] * (physical is not None) + [f"{logical} threads"] * (logical is not None)
    return ", ".join([report.cpu.name, *cores, *report.cpu.vector_extensions])


def _memory(report: DoctorReport) -> str:
    memory, speed = report.memory, report.devices[-1].bandwidth_gb_s
    text = f"{gib(memory.free_bytes)} of {gib(memory.total_bytes)} free"
    if memory.swap_total_bytes:
        text += f", swap {gib(memory.swap_free_bytes)} of {gib(memory.swap_total_bytes)} free"
    if speed is None or report.devices[-1].kind != "cpu":
        return text
    when = "now" if report.measured_now else "before"
    return f"{text}, {speed:.0f} GB/s (measured {when}: reads and writes of all cores together)"


def _contact(contact: Contact) -> dict[str, Any]:
    return {
        "at": contact.at.isoformat(),
        "purpose": contact.purpose,
        "host": contact.host,
        "port": contact.port,
        "via": contact.via or None,
        "on_this_machine": contact.on_this_machine,
        "outcome": contact.outcome,
        "requests": contact.requests,
        "bytes_sent": contact.bytes_sent,
        "bytes_received": contact.bytes_received,
    }


def _contacts(contacts: Sequence[Contact]) -> list[tuple[str, str]]:
    """The last connections that left this machine or were refused; the JSON has all that were kept."""
    away = [each for each in contacts if not each.on_this_machine or each.outcome == "refused"][-SHOWN_CONTACTS:]
    return [
        (
            _verb(each),
            f"{each.at.astimezone():%Y-%m-%d %H:%M} {each.host}, {each.purpose}"
            + (f": {each.bytes_sent:,} bytes sent, {each.bytes_received:,} received" if each.requests else "")
            + (f", through {each.via}" if each.via else "")
            + (f": {UNREACHED[each.outcome]}" if _is_unreached(each) else ""),
        )
        for each in away
    ]


def _verb(contact: Contact) -> str:
    if contact.outcome == "refused":
        return "Refused"
    return "Tried" if _is_unreached(contact) else "Contacted"


def _is_unreached(contact: Contact) -> bool:
    """Of a host that hung up while it was greeted no byte is counted either: of such no more is said."""
    return contact.outcome in UNREACHED and not contact.bytes_sent and not contact.bytes_received


def _settings(report: DoctorReport) -> list[tuple[str, str]]:
    if report.settings is None:
        return []
    local_only = {
        None: "not chosen yet; nothing outside this machine is contacted until you choose a lane that leaves it",
        True: "on; nothing outside this machine is contacted",
        False: "off; lanes may contact the hosts that you choose",
    }
    keep = "on; prompts and answers are kept on this disk" if report.settings.keep_history else "off"
    return [("Local only", local_only[report.settings.local_only]), ("Keep history", keep)]


def _keys(report: DoctorReport) -> str:
    kept = report.settings.kept_keys if report.settings is not None else ()
    held = f"in the keyring for {', '.join(kept)}" if kept else "none in the keyring"
    return f"{held}; any other for the session only, and never in a file of Nearfar's"


def _keyring(keyring: KeyringState) -> str:
    """Not usable is a problem only where keys are kept in it."""
    return f"{keyring.backend}, usable" if keyring.usable else f"{keyring.backend}, not usable: {keyring.reason}"


def _network(report: DoctorReport) -> str:
    seen = report.network
    allowed = "nothing outside this machine" if seen.local_only else ", ".join(seen.allowed_hosts) or "no host yet"
    times = "1 connection" if seen.connections == 1 else f"{seen.connections} connections"
    return f"may contact {allowed}; {times} since the start"

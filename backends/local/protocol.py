"""The JSON lines between the app and its worker, written and read with every field bounded. Pure: no pipes, no clocks.

Each line is one object with the protocol version, its type and, but for hello and beat, the number of its request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Literal

from backends.local.facts import (
    MAX_DEVICES,
    MAX_PARALLEL,
    DeviceRef,
    LoadOptions,
    MeasuredDevice,
    Measurement,
    WorkerDevice,
    WorkerFacts,
)
from backends.local.fields import Fields, ProtocolError
from backends.local.messages import (
    Beat,
    Cancel,
    Hello,
    Load,
    LoadDone,
    LoadProgress,
    Measure,
    MeasureDone,
    PrefillProgress,
    Remark,
    Reply,
    Request,
    RequestFailed,
    Run,
    RunCancelled,
    RunDone,
    TextDelta,
)
from backends.records import EngineReport, Message, Number, PartReport, Role, Sampling, Usage

VERSION = 1
MAX_REQUEST_BYTES = 16 * 2**20
MAX_REPLY_BYTES = 2**20
MAX_PROMPT_CHARS = 4_000_000
MAX_MESSAGES = 4096
MAX_STOPS = 16
MAX_STOP_CHARS = 256
MAX_DELTA_CHARS = 65_536
MAX_DELTA_TOKENS = 4096
MAX_PATH_CHARS = 32_767
MAX_ID = 2**53 - 1
MAX_STAMP_NS = 2**63 - 1
MAX_TOKENS = 2**31 - 1
MAX_BYTES = 2**60
MAX_NUMBER = 1e18
KV_TYPES: tuple[Literal["f16", "q8_0", "q4_0"], ...] = ("f16", "q8_0", "q4_0")
TEMPLATES: tuple[Literal["gguf", "plain"], ...] = ("gguf", "plain")
ROLES: tuple[Role, ...] = ("system", "user", "assistant")
REASONS: tuple[Literal["stop", "length"], ...] = ("stop", "length")


_NAMES: dict[type[Request | Reply], str] = {
    Load: "load",
    Measure: "measure",
    Run: "run",
    Cancel: "cancel",
    Hello: "hello",
    Beat: "beat",
    LoadProgress: "loading",
    LoadDone: "loaded",
    MeasureDone: "measured",
    Remark: "notice",
    PrefillProgress: "prefill",
    TextDelta: "delta",
    RunDone: "done",
    RunCancelled: "cancelled",
    RequestFailed: "failed",
}


def encode(message: Request | Reply) -> bytes:
    """One line with its newline; raises ProtocolError where it would be longer than its reader allows."""
    limit = MAX_REQUEST_BYTES if isinstance(message, Request) else MAX_REPLY_BYTES
    body = {"v": VERSION, "type": _NAMES[type(message)], **asdict(message)}
    # A file's name need not be UTF-8: Python then keeps its bytes as lone surrogates, which escapes alone bring over.
    # Elsewhere one becomes "?" rather than an exception in the middle of a run.
    names_file = isinstance(message, Load | Measure)
    line = json.dumps(body, ensure_ascii=names_file, separators=(",", ":"), allow_nan=False)
    data = line.encode("utf-8", "replace") + b"\n"
    if len(data) > limit:
        raise ProtocolError(f"the message is longer than {limit} bytes")
    return data


def decode_request(line: bytes) -> Request:
    """What the worker reads; raises ProtocolError."""
    kind, fields = _open(line, MAX_REQUEST_BYTES)
    request_id = fields.integer("id", 1, MAX_ID)
    if kind == "load":
        return Load(
            request_id,
            fields.text("path", MAX_PATH_CHARS, min_chars=1),
            fields.text("name", 4096, min_chars=1),
            _options(fields.within("options")),
        )
    if kind == "measure":
        return Measure(request_id, fields.text("path", MAX_PATH_CHARS, min_chars=1), _options(fields.within("options")))
    if kind == "run":
        return _run(request_id, fields)
    if kind == "cancel":
        return Cancel(request_id)
    raise ProtocolError("unknown request")


def decode_reply(line: bytes) -> Reply:
    """What the app reads; raises ProtocolError."""
    kind, fields = _open(line, MAX_REPLY_BYTES)
    if kind == "beat":
        return Beat()
    if kind == "hello":
        return Hello(_facts(fields.within("facts")))
    request_id = fields.integer("id", 0, MAX_ID)
    if kind == "delta":
        stamps = fields.integers("stamps_ns", MAX_DELTA_TOKENS, 0, MAX_STAMP_NS)
        return TextDelta(request_id, fields.text("text", MAX_DELTA_CHARS), stamps)
    if kind == "prefill":
        total = fields.integer("total", 0, MAX_TOKENS)
        return PrefillProgress(
            request_id, fields.integer("at_ns", 0, MAX_STAMP_NS), fields.integer("done", 0, total), total
        )
    if kind == "loading":
        return LoadProgress(request_id, fields.number("fraction", 0.0, 1.0))
    if kind == "loaded":
        return LoadDone(request_id, _report(fields.within("report")))
    if kind == "measured":
        return MeasureDone(request_id, _measurement(fields.within("measurement")))
    if kind == "notice":
        return Remark(request_id, fields.text("code", 64), fields.text("text", 2000))
    return _ending(kind, request_id, fields)


def _ending(kind: str, request_id: int, fields: Fields) -> Reply:
    if kind == "done":
        reason = fields.choice("finish_reason", REASONS)
        return RunDone(request_id, reason, _usage(fields.within("usage")), _timings(fields))
    if kind == "cancelled":
        return RunCancelled(request_id, _usage(fields.within("usage")), _timings(fields))
    if kind == "failed":
        what = fields.text("what", 2000, min_chars=1)
        return RequestFailed(request_id, fields.text("code", 64), what, fields.text("fix", 2000))
    raise ProtocolError("unknown reply")


def _open(line: bytes, limit: int) -> tuple[str, Fields]:
    if len(line) > limit:
        raise ProtocolError(f"the line is longer than {limit} bytes")
    try:
        fields = Fields(json.loads(line))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the line is not JSON ({type(error).__name__})") from None
    if fields.integer("v", 0, MAX_ID) != VERSION:
        raise ProtocolError("another protocol version")
    return fields.text("type", 32), fields


def _run(request_id: int, fields: Fields) -> Run:
    messages = tuple(
        Message(entry.choice("role", ROLES), entry.text("text", MAX_PROMPT_CHARS))
        for entry in fields.objects("messages", MAX_MESSAGES, min_items=1)
    )
    return Run(request_id, messages, _sampling(fields.within("sampling")), fields.flag("exact"))


def _sampling(fields: Fields) -> Sampling:
    return Sampling(
        max_tokens=_optional(fields, "max_tokens", 1, MAX_TOKENS),
        temperature=fields.number("temperature", 0.0, 100.0),
        top_k=fields.integer("top_k", 0, MAX_TOKENS),
        top_p=fields.number("top_p", 0.0, 1.0),
        min_p=fields.number("min_p", 0.0, 1.0),
        repeat_penalty=fields.number("repeat_penalty", 0.01, 100.0),
        seed=fields.integer("seed", 0, 2**32 - 1),
        stop=fields.texts("stop", MAX_STOPS, MAX_STOP_CHARS, min_chars=1),
    )


def _options(fields: Fields) -> LoadOptions:
    return LoadOptions(
        n_ctx=_optional(fields, "n_ctx", 1, 2**24),
        kv_type=fields.choice("kv_type", KV_TYPES),
        n_gpu_layers=_optional(fields, "n_gpu_layers", 0, 4096),
        n_threads=_optional(fields, "n_threads", 1, 512),
        n_batch=_optional(fields, "n_batch", 1, 8192),
        chat_format=fields.choice("chat_format", TEMPLATES),
        devices=tuple(map(_device_ref, fields.objects("devices", MAX_DEVICES))) if fields.has("devices") else None,
        tensor_split=fields.floats("tensor_split", MAX_DEVICES, 0.0, 1e6) if fields.has("tensor_split") else None,
        n_parallel=fields.integer("n_parallel", 1, MAX_PARALLEL),
    )


def _device_ref(fields: Fields) -> DeviceRef:
    return DeviceRef(
        pci_id=_optional_text(fields, "pci_id", 64),
        name=_optional_text(fields, "name", 128),
        description=fields.text("description", 256),
        ordinal=fields.integer("ordinal", 1, 256),
    )


def _measurement(fields: Fields) -> Measurement:
    devices = tuple(
        MeasuredDevice(
            name=entry.text("name", 128, min_chars=1),
            pci_id=_optional_text(entry, "pci_id", 64),
            layers=entry.integer("layers", 0, 4096),
            weights_bytes=entry.integer("weights_bytes", 0, MAX_BYTES),
            kv_bytes=entry.integer("kv_bytes", 0, MAX_BYTES),
            compute_bytes=entry.integer("compute_bytes", 0, MAX_BYTES),
        )
        for entry in fields.objects("devices", MAX_DEVICES + 1, min_items=1)
    )
    return Measurement(
        devices=devices,
        n_layers=fields.integer("n_layers", 1, 4096),
        gpu_layers=fields.integer("gpu_layers", 0, 4096),
        n_ctx=fields.integer("n_ctx", 1, 2**24),
        engine_build=fields.text("engine_build", 128),
    )


def _parts(fields: Fields) -> tuple[PartReport, ...]:
    return tuple(
        PartReport(
            device=entry.text("device", 128, min_chars=1),
            pci_id=_optional_text(entry, "pci_id", 64),
            layers=entry.integer("layers", 0, 4096),
            weights_bytes=_optional(entry, "weights_bytes", 0, MAX_BYTES),
            kv_bytes=_optional(entry, "kv_bytes", 0, MAX_BYTES),
            compute_bytes=_optional(entry, "compute_bytes", 0, MAX_BYTES),
        )
        for entry in fields.objects("parts", MAX_DEVICES + 1)
    )


def _optional(fields: Fields, name: str, low: int, high: int) -> int | None:
    return fields.integer(name, low, high) if fields.has(name) else None


def _optional_text(fields: Fields, name: str, max_chars: int) -> str | None:
    return fields.text(name, max_chars) if fields.has(name) else None


def _facts(fields: Fields) -> WorkerFacts:
    devices = tuple(
        WorkerDevice(
            entry.text("name", 128),
            entry.text("description", 256),
            entry.text("kind", 16),
            entry.integer("free_bytes", 0, MAX_BYTES),
            entry.integer("total_bytes", 0, MAX_BYTES),
            entry.text("pci_id", 64) if entry.has("pci_id") else None,
        )
        for entry in map(Fields, fields.items("devices", 64))
    )
    return WorkerFacts(
        fields.text("version", 64), fields.texts("backends", 32, 64), devices, fields.flag("gpu_offload")
    )


def _report(fields: Fields) -> EngineReport:
    return EngineReport(
        model=fields.text("model", 4096),
        device=fields.text("device", 512),
        quant=_optional_text(fields, "quant", 64),
        gpu_layers=fields.integer("gpu_layers", 0, 4096),
        n_layers=fields.integer("n_layers", 0, 4096),
        n_ctx=fields.integer("n_ctx", 1, 2**24),
        kv_type=fields.choice("kv_type", KV_TYPES),
        n_threads=fields.integer("n_threads", 1, 512),
        weights_bytes=_optional(fields, "weights_bytes", 0, MAX_BYTES),
        kv_bytes=_optional(fields, "kv_bytes", 0, MAX_BYTES),
        compute_bytes=_optional(fields, "compute_bytes", 0, MAX_BYTES),
        load_ms=fields.number("load_ms", 0.0, MAX_NUMBER),
        engine_build=fields.text("engine_build", 128),
        template=fields.choice("template", TEMPLATES),
        parts=_parts(fields),
    )


def _usage(fields: Fields) -> Usage:
    return Usage(
        prompt_tokens=_optional(fields, "prompt_tokens", 0, MAX_TOKENS),
        completion_tokens=_optional(fields, "completion_tokens", 0, MAX_TOKENS),
        cached_tokens=_optional(fields, "cached_tokens", 0, MAX_TOKENS),
    )


def _timings(fields: Fields) -> Mapping[str, Number]:
    return fields.numbers("timings", 32, 0, MAX_NUMBER)

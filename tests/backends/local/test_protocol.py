"""The lines between app and worker: what is written can be read, and nothing else passes."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.local.facts import DeviceRef, LoadOptions, MeasuredDevice, Measurement, WorkerDevice, WorkerFacts
from backends.local.fields import ProtocolError
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
from backends.local.protocol import decode_reply, decode_request, encode
from backends.records import EngineReport, Message, PartReport, Sampling, Usage

REPORT = EngineReport("m", "CPU", None, 0, 3, 512, "q4_0", 1, None, 5, 6, 1.5, "llama-cpp-python 0", "plain")
PARTS = (PartReport("CUDA0", "0000:01:00.0", 2, 5, 6, None), PartReport("CPU", None, 1, None, None, 7))
PLACED = LoadOptions(
    devices=(DeviceRef("0000:01:00.0", "CUDA0", "a card"), DeviceRef(description="a card", ordinal=2)),
    tensor_split=(2.0, 1.0),
)
MEASURED = Measurement(
    (MeasuredDevice("CUDA0", "0000:01:00.0", 2, 1, 2, 3), MeasuredDevice("CPU", None, 1, 4, 5, 6)), 3, 2, 512, "llama"
)
FACTS = WorkerFacts(
    "0.3",
    ("CUDA", "CPU"),
    (WorkerDevice("CUDA0", "a card", "gpu", 1, 2, "0000:01:00.0"), WorkerDevice("CPU", "a chip", "cpu", 1, 2)),
    False,
)
REQUESTS: list[Request] = [
    Load(1, "/a b/é.gguf", "é", LoadOptions(n_ctx=5, kv_type="q8_0", n_gpu_layers=0, chat_format="plain")),
    Run(2, (Message("user", 'a\n"b"\u2028😀'),), Sampling(max_tokens=None, seed=7, stop=("x",)), True),
    Cancel(3),
    Measure(4, "/a.gguf", PLACED),
    Load(5, "/a.gguf", "a", LoadOptions(devices=(), n_parallel=64)),
]
REPLIES: list[Reply] = [
    Hello(FACTS),
    Beat(),
    LoadProgress(1, 0.5),
    LoadDone(1, REPORT),
    Remark(1, "c", "t"),
    PrefillProgress(2, 5, 1, 3),
    TextDelta(2, "é\n", (1, 2)),
    RunDone(2, "length", Usage(1, 2, 0), {"a": 1, "b": 0.5}),
    RunCancelled(2, Usage(), {}),
    RequestFailed(2, "model", "No.", ""),
    MeasureDone(4, MEASURED),
    LoadDone(5, replace(REPORT, parts=PARTS)),
]


@pytest.mark.parametrize("message", REQUESTS, ids=lambda message: type(message).__name__)
def test_a_request_survives_the_way(message: Request) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_request(line) == message


@pytest.mark.parametrize("message", REPLIES, ids=lambda message: type(message).__name__)
def test_a_reply_survives_the_way(message: Reply) -> None:
    assert decode_reply(encode(message)) == message


def changed(message: Request | Reply, **values: Any) -> bytes:
    return json.dumps(json.loads(encode(message)) | values).encode()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"{" * 50_000,
        b'{"v":1,"type":"other","id":1}',
        changed(REPLIES[2], v=2),
        changed(REPLIES[2], v=True),
        changed(REPLIES[2], fraction=1.5),
        changed(REPLIES[2], fraction=float("nan")),
        changed(REPLIES[2], fraction=10**400),
        changed(REPLIES[2], id=-1),
        changed(REPLIES[2], id="1"),
        changed(REPLIES[6], text="x" * 70_000),
        changed(REPLIES[6], stamps_ns=[1.5]),
        changed(REPLIES[6], stamps_ns=[True]),
        changed(REPLIES[6], stamps_ns=[0] * 5000),
        changed(REPLIES[5], done=4),
        changed(REPLIES[7], finish_reason="done"),
        changed(REPLIES[7], timings={str(i): 1 for i in range(50)}),
        changed(REPLIES[7], timings={"a": "b"}),
        changed(REPLIES[3], report={}),
        changed(REPLIES[9], what=""),
        changed(REPLIES[10], measurement={}),
        changed(REPLIES[10], measurement=asdict(MEASURED) | {"devices": []}),
        changed(REPLIES[10], measurement=asdict(MEASURED) | {"devices": [asdict(MEASURED.devices[0])] * 20}),
        changed(REPLIES[11], report=asdict(REPORT) | {"parts": [{"device": ""}]}),
        b" " * (2**20 + 1),
    ],
)
def test_a_bad_reply_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_reply(line)


@pytest.mark.parametrize(
    "line",
    [
        changed(REQUESTS[1], messages=[]),
        changed(REQUESTS[1], messages=[{"role": "tool", "text": ""}]),
        changed(REQUESTS[1], exact=1),
        changed(REQUESTS[1], sampling={}),
        changed(REQUESTS[0], options={"kv_type": "f32", "chat_format": "gguf"}),
        changed(REQUESTS[2], id=0),
        changed(REQUESTS[3], path=""),
        changed(REQUESTS[3], options=asdict(PLACED) | {"tensor_split": [-1.0]}),
        changed(REQUESTS[3], options=asdict(PLACED) | {"n_parallel": 0}),
        changed(REQUESTS[3], options=asdict(PLACED) | {"n_parallel": 65}),
        changed(REQUESTS[3], options=asdict(PLACED) | {"tensor_split": [1.0] * 17}),
        changed(REQUESTS[3], options=asdict(PLACED) | {"devices": ["CUDA0"]}),
        changed(REQUESTS[3], options=asdict(PLACED) | {"devices": [asdict(DeviceRef(ordinal=0))]}),
    ],
)
def test_a_bad_request_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_request(line)


def test_an_error_never_quotes_the_value() -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_request(changed(REQUESTS[1], messages=[{"role": "canary", "text": "canary"}]))
    assert "canary" not in str(caught.value)


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_bytes_are_read_or_refused(line: bytes) -> None:
    for decode in (decode_request, decode_reply):
        with pytest.raises(ProtocolError):
            decode(line)


def test_half_a_surrogate_is_replaced() -> None:
    run = Run(1, (Message("user", "a\ud800b"),), Sampling(seed=1), False)
    decoded = decode_request(encode(run))
    assert isinstance(decoded, Run)
    assert decoded.messages[0].text == "a?b"

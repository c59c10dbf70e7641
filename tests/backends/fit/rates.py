"""Published decode rates beside what our speed model expects of them. Must not judge them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from backends.devices.records import Device
from backends.fit.speed import Work, expected, speed_class

FILE = Path(__file__).with_name("decode_rates.json")


@dataclass(frozen=True, slots=True)
class Row:
    """One published run; `expected_tok_s` and `error` are None where the device's bandwidth is not known."""

    device: str
    class_name: str
    n_gpu: int
    bandwidth_gb_s: float | None
    model: str
    quant: str
    tok_s: float
    expected_tok_s: float | None
    error: float | None
    within_range: bool | None
    source: str


def rows() -> list[Row]:
    return [_row(each) for each in json.loads(FILE.read_text(encoding="utf-8"))["rows"]]


def _row(each: dict[str, object]) -> Row:
    bandwidth, rate = each["bandwidth_gb_s"], each["tok_s"]
    weights, per_token, depth = each["weights_bytes"], each["kv_bytes_per_token"], each["depth_tokens"]
    assert bandwidth is None or isinstance(bandwidth, int | float)
    assert isinstance(rate, int | float)
    assert isinstance(weights, int)
    assert isinstance(per_token, int)
    assert isinstance(depth, int)
    device = Device(
        name=str(each["device"]),
        kind="cpu" if each["kind"] == "cpu" else "gpu",
        memory="shared" if each["shared"] else "own",
        bandwidth_gb_s=bandwidth,
        bandwidth_source="table" if bandwidth is not None else None,
    )
    # Layers over several equal GPUs: each reads its share, one after the other.
    n_gpu = int(str(each["n_gpu"]))
    touched = (weights + per_token * depth) / n_gpu
    guess = expected([Work(device, touched, 1 / n_gpu)] * n_gpu)
    middle = None if guess is None else guess.middle_tok_s
    return Row(
        device=device.name,
        class_name=str(each["kind"]) if bandwidth is None else speed_class(device).name,
        n_gpu=n_gpu,
        bandwidth_gb_s=bandwidth,
        model=str(each["model"]),
        quant=str(each["quant"]),
        tok_s=rate,
        expected_tok_s=middle,
        error=None if middle is None else middle / rate - 1,
        within_range=None if guess is None else guess.low_tok_s <= rate <= guess.high_tok_s,
        source=str(each["source"]),
    )

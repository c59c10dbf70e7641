"""llama.cpp's log as it is kept and passed on: one line each, which no model file can use to steer a terminal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backends.local.log_capture import (
    DEBUG,
    ERROR,
    INFO,
    WARN,
    DeviceFigures,
    LogCapture,
    read_devices,
    read_kv_bytes,
)

Callback = Callable[[int, bytes, object], None]


class Api:
    """The two calls of llama.cpp's log, without the library."""

    def __init__(self) -> None:
        self.log: Callback | None = None

    def llama_log_callback(self, function: Callback) -> Callback:
        return function

    def llama_log_set(self, callback: Callback, _user_data: object) -> None:
        self.log = callback


@pytest.mark.parametrize("level", [INFO, WARN, ERROR])
def test_control_characters_are_left_out(level: int, capsys: pytest.CaptureFixture[str]) -> None:
    api = Api()
    capture = LogCapture(api)
    assert api.log is not None
    api.log(level, "name = \x1b]0;owned\x07red\x9b5m\r\nnearfar:\tfine \xe9\n".encode(), None)
    expected = "name = ]0;ownedred5m  nearfar: fine é"
    assert capture.lines() == [expected]
    assert capsys.readouterr().err == ("" if level == INFO else f"{expected}\n")


def test_of_the_debug_lines_only_the_place_of_layers_is_kept() -> None:
    api = Api()
    capture = LogCapture(api)
    assert api.log is not None
    api.log(DEBUG, b"load_tensors: layer   7 assigned to device CUDA0, is_swa = 0\n", None)
    api.log(DEBUG, b"anything else\n", None)
    assert capture.lines() == ["load_tensors: layer   7 assigned to device CUDA0, is_swa = 0"]


def test_each_device_gets_its_own_figures() -> None:
    lines = [
        "llama_prepare_model_devices: using device CUDA1 (a card) (0000:01:00.0) - 5 MiB free",
        "llama_prepare_model_devices: using device CUDA10 (a card) (unknown id) - 5 MiB free",
        *(
            f"load_tensors: layer   {i} assigned to device {name}, is_swa = 0"
            for i, name in enumerate(["CPU", "CUDA1"])
        ),
        "load_tensors: layer   2 assigned to device CUDA10, is_swa = 0",
        "load_tensors:   CPU_Mapped model buffer size =     1.00 MiB",
        "load_tensors:   CPU_REPACK model buffer size =     2.00 MiB",
        "load_tensors:        CUDA1 model buffer size =     3.00 MiB",
        "load_tensors:       CUDA10 model buffer size =     4.00 MiB",
        "llama_kv_cache:      CUDA1 KV buffer size =     5.00 MiB",
        "llama_kv_cache: size =    5.50 MiB (   256 cells,   2 layers,  1/1 seqs), K (f16):    2.75 MiB",
        "llama_context:  CUDA_Host  output buffer size =     0.50 MiB",
        "sched_reserve:      CUDA1 compute buffer size =     6.00 MiB",
        "sched_reserve:  CUDA_Host compute buffer size =     7.00 MiB",
    ]
    mib = 2**20
    assert read_devices(lines) == (
        DeviceFigures("CUDA1", (1,), 3 * mib, 5 * mib, 6 * mib),
        DeviceFigures("CUDA10", (2,), 4 * mib, None, None),
        DeviceFigures("CPU", (0,), 3 * mib, None, round(7.5 * mib)),
    )
    assert read_kv_bytes(lines) == round(5.5 * mib)


def test_a_models_own_words_are_no_device() -> None:
    lines = [
        "llama_model_loader: - kv   2: general.name str = x: using device CUDA9 (y)",
        "llama_model_loader: - kv   3: general.name str = x: layer   1 assigned to device CUDA9, is_swa",
    ]
    assert [device.name for device in read_devices(lines)] == ["CPU"]
    assert read_devices(lines)[0].layers == ()
    assert read_kv_bytes(lines) is None

"""The real pynvml on a stand-in driver library, each case in a process of its own; and on no driver at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backends.devices.nvml import has_nvidia_card
from backends.devices.survey import devices
from tests.backends.devices.stand_in import compiled

MIB = 1024 * 1024

ASK = """
import dataclasses, json, os, sys, threading, time
from backends.devices.nvml import read_nvidia
start = time.monotonic()
timeout_s = float(os.environ.get("TIMEOUT_S", "10"))
surveys = [read_nvidia(timeout_s), read_nvidia(timeout_s)]
assert surveys[0] == surveys[1], "asking again gives the same"
print(json.dumps(dataclasses.asdict(surveys[0]) | {"threads": threading.active_count()}))
"""


@pytest.fixture(scope="module")
def compiler() -> str:
    found = shutil.which("cc")
    if found is None or sys.platform != "linux":
        pytest.skip("needs a C compiler on Linux")
    return found


@pytest.fixture(scope="module")
def new_driver(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(compiler, tmp_path_factory.mktemp("driver"))


def ask(folder: Path, case: str, **environ: str) -> dict[str, Any]:
    environ = {**os.environ, "LD_LIBRARY_PATH": str(folder), "NVML_CASE": case, **environ}
    done = subprocess.run([sys.executable, "-c", ASK], env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    survey: dict[str, Any] = json.loads(done.stdout)
    return survey


def test_a_gpu_with_all_its_figures(new_driver: Path) -> None:
    survey = ask(new_driver, "healthy")
    assert survey["problems"] == []
    assert survey["devices"] == [
        {
            "name": "NVIDIA GeForce RTX 3060",
            "kind": "gpu",
            "uuid": "GPU-1234",
            "total_bytes": 12288 * MIB,
            "used_bytes": 1000 * MIB,
            "free_bytes": 11000 * MIB,
            "bandwidth_gb_s": pytest.approx(360.0, rel=0.001),  # the card's published figure
            "driver": "580.95.05",
            "in_use_by": [
                {"pid": 42, "name": "ollama", "used_bytes": 600 * MIB},
                {"pid": 41, "name": "game.exe", "used_bytes": 300 * MIB},
                {"pid": 43, "name": None, "used_bytes": None},
            ],
        }
    ]


def test_an_old_driver_without_the_newer_calls(compiler: str, tmp_path: Path) -> None:
    survey = ask(compiled(compiler, tmp_path, "-DOLD"), "healthy")
    (device,) = survey["devices"]
    assert survey["problems"] == []
    assert (device["total_bytes"], device["used_bytes"]) == (12288 * MIB, 1288 * MIB)
    assert (device["bandwidth_gb_s"], device["in_use_by"]) == (None, [])


def test_wsl_where_the_newer_memory_call_fails(new_driver: Path) -> None:
    (device,) = ask(new_driver, "wsl")["devices"]
    assert (device["total_bytes"], device["used_bytes"]) == (12288 * MIB, 1288 * MIB)
    assert device["bandwidth_gb_s"] is None


def test_other_users_processes_are_unknown_and_no_problem(new_driver: Path) -> None:
    survey = ask(new_driver, "users_hidden")
    assert survey["problems"] == []
    assert survey["devices"][0]["in_use_by"] == []


def test_memory_that_is_not_told_is_unknown_and_said(new_driver: Path) -> None:
    survey = ask(new_driver, "unified")
    (device,), (problem,) = survey["devices"], survey["problems"]
    assert (device["total_bytes"], device["free_bytes"]) == (None, None)
    assert problem["what"].startswith("NVIDIA GB10 does not say how much memory")


def test_one_lost_gpu_does_not_hide_the_other(new_driver: Path) -> None:
    survey = ask(new_driver, "one_lost")
    assert [device["name"] for device in survey["devices"]] == ["NVIDIA GeForce RTX 3060"]
    assert survey["problems"][0]["what"] == "GPU 0 has stopped answering."


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("version_mismatch", "the old one is still loaded"),
        ("driver_not_loaded", "not loaded"),
        ("no_permission", "may not use"),
        ("odd_name", "could not be asked"),
    ],
)
def test_a_driver_that_fails_is_a_sentence(new_driver: Path, case: str, words: str) -> None:
    survey = ask(new_driver, case)
    assert survey["devices"] == []
    (problem,) = survey["problems"]
    assert words in problem["what"]
    assert problem["fix"]


def test_a_driver_that_hangs_costs_one_thread_and_no_exit(new_driver: Path) -> None:
    survey = ask(new_driver, "hangs", TIMEOUT_S="0.3")
    assert survey["problems"][0]["what"] == "The NVIDIA driver did not answer."
    assert survey["threads"] == 2, "the second question must not start a second thread"


def test_no_gpu_in_the_driver_is_no_problem(new_driver: Path) -> None:
    survey = ask(new_driver, "none")
    assert (survey["devices"], survey["problems"]) == ([], [])


def test_a_library_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"not a library")
    survey = ask(tmp_path, "healthy")
    assert survey["devices"] == []


def test_no_library_and_no_card_is_no_problem(tmp_path: Path) -> None:
    if has_nvidia_card():
        pytest.skip("this machine has an NVIDIA card")
    survey = ask(tmp_path, "healthy")
    assert (survey["devices"], survey["problems"]) == ([], [])


def test_a_card_without_a_driver_is_seen_on_the_bus(tmp_path: Path) -> None:
    for name, vendor, kind in (("a", "0x10de", "0x040300"), ("b", "0x8086", "0x030000")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(vendor + "\n")
        (tmp_path / name / "class").write_text(kind + "\n")
    assert not has_nvidia_card(tmp_path), "the sound part of a card, and another maker's GPU"
    (tmp_path / "a" / "class").write_text("0x030200\n")
    assert has_nvidia_card(tmp_path)
    assert not has_nvidia_card(tmp_path / "nowhere")


def test_the_cpu_is_always_a_device() -> None:
    cpu = devices()[-1]
    assert cpu.kind == "cpu"
    assert cpu.name
    assert cpu.total_bytes is not None
    assert cpu.free_bytes is not None
    assert 0 < cpu.free_bytes < cpu.total_bytes

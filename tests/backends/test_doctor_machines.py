"""`nearfar doctor --json` as a program of its own on machines that are not here, with the real pynvml and worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.backends.devices.stand_in import machine

MIB = 2**20
GPU = "NVIDIA GeForce "
UNTIL_THEN = "models run on the CPU"

# What NVML_CASE plays: name, total, used and free MiB and GB/s of each GPU.
EXPECTED: dict[str, list[tuple[str, int, int, int, float | None]]] = {
    "rtx3060": [(GPU + "RTX 3060", 12288, 1000, 11000, 360)],
    "rtx4090_busy": [(GPU + "RTX 4090", 24564, 9216, 14936, 1008)],
    "two_3090": [(GPU + "RTX 3090", 24576, 200, 24000, 936)] * 2,
    "mixed": [(GPU + "RTX 4090", 24564, 500, 23652, 1008), (GPU + "GTX 1060 6GB", 6144, 80, 6000, 192)],
    "a100_mig": [
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", 19968, 37, 19931, 777.6),
        ("NVIDIA A100-SXM4-40GB MIG 2g.10gb", 9856, 25, 9831, 388.8),
        ("NVIDIA A100-SXM4-40GB MIG slice 4", 4864, 12, 4852, 194.4),
    ],
    "h100_80": [("NVIDIA H100 80GB HBM3", 81559, 4, 81004, 3352)],
    "wsl": [(GPU + "RTX 3060", 12288, 1288, 11000, 360)],
    "laptop_4060": [(GPU + "RTX 4060 Laptop GPU", 8188, 4, 7932, 256)],
    "lost": [(GPU + "RTX 3090", 24576, 200, 24000, 936)],
    "version_mismatch": [],
    "driver_not_loaded": [],
    "no_permission": [],
    "none": [],
}
SHARED = {"gb10": 273.0, "n1x": None, "jetson": None}
SAID = {
    "a100_mig": "one program can use only one of them",
    "lost": "GPU 0 (NVIDIA GeForce RTX 3090) has stopped answering.",
    "version_mismatch": "the old one is still loaded",
    "driver_not_loaded": "not loaded",
    "no_permission": "may not use the NVIDIA driver",
    "hangs": "did not answer",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, so that the memory's speed is measured once."""
    return tmp_path_factory.mktemp("home")


def doctor(home: Path, case: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "app", "doctor", "--json"],
        env={**os.environ, "NEARFAR_HOME": str(home), **machine(case)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def gpus(body: dict[str, Any]) -> list[dict[str, Any]]:
    devices: list[dict[str, Any]] = body["devices"]
    *found, cpu = devices
    assert cpu["kind"] == "cpu"
    assert cpu["total_bytes"] == body["memory"]["total_bytes"]
    assert (cpu["bandwidth_source"], cpu["bandwidth_gb_s"] > 0) == ("measured", True)
    assert all(gpu["kind"] == "gpu" for gpu in found)
    return found


@pytest.mark.parametrize("case", list(EXPECTED))
def test_the_figures_of_a_machine(home: Path, case: str) -> None:
    body = doctor(home, case)
    found = [
        (gpu["name"], gpu["total_bytes"] / MIB, gpu["used_bytes"] / MIB, gpu["free_bytes"] / MIB, gpu["bandwidth_gb_s"])
        for gpu in gpus(body)
    ]
    assert found == [(*sizes, pytest.approx(bandwidth, rel=0.002)) for *sizes, bandwidth in EXPECTED[case]]
    said = [problem["what"] for problem in body["problems"]]
    assert case not in SAID or any(SAID[case] in what for what in said)
    unused = [problem for problem in body["problems"] if "so models do not use" in problem["what"]]
    if body["llama_cpp"]["backends"] == ["CPU"]:
        assert len(unused) == bool(found), "a GPU that this build cannot use is said, once"
        assert all("`make run GPU=cuda`" in problem["fix"] for problem in unused)


@pytest.mark.parametrize("case", list(SHARED))
def test_a_machine_whose_gpu_shares_its_memory(home: Path, case: str) -> None:
    body = doctor(home, case)
    (gpu,) = gpus(body)
    assert gpu["memory"] == "shared"
    assert gpu["total_bytes"] == psutil.virtual_memory().total
    assert 0 < gpu["free_bytes"] < gpu["total_bytes"]
    assert gpu["bandwidth_gb_s"] == SHARED[case]


def test_a_driver_that_hangs_leaves_the_cpu(home: Path) -> None:
    body = doctor(home, "hangs")
    assert gpus(body) == []
    (problem,) = body["problems"]
    assert SAID["hangs"] in problem["what"]
    assert UNTIL_THEN in problem["fix"]

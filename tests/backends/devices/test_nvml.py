"""The real pynvml on a stand-in driver library, each case in a process of its own; and on no driver at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from backends.devices.machine import read_machine
from backends.devices.pci import display_vendors
from tests.backends.devices.stand_in import machine

MIB = 1024 * 1024

ASK = """
import dataclasses, json, os, sys, threading, time
from backends.devices.nvml import read_nvidia
timeout_s = float(os.environ.get("TIMEOUT_S", "30"))
surveys = []
for pause_s in json.loads(os.environ.get("PAUSES", "[0, 0]")):
    time.sleep(pause_s)
    surveys.append(dataclasses.asdict(read_nvidia(timeout_s)))
    if surveys[-1]["devices"] and "UNTIL_SEEN" in os.environ:
        break
print(json.dumps({"surveys": surveys, "threads": threading.active_count()}))
"""


def ask_often(environ: dict[str, str]) -> dict[str, Any]:
    environ = {**os.environ, **environ}
    done = subprocess.run([sys.executable, "-c", ASK], env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def ask(case: str, *, old_driver: bool = False) -> dict[str, Any]:
    surveys: list[dict[str, Any]] = ask_often(machine(case, old_driver=old_driver))["surveys"]
    for device in (device for survey in surveys for device in survey["devices"] if device["memory"] == "shared"):
        # What the computer itself has free changes meanwhile.
        assert device.pop("free_bytes") + device.pop("used_bytes") == device["total_bytes"]
    assert surveys[0] == surveys[1], "asking again gives the same"
    return surveys[0]


def only(survey: dict[str, Any]) -> dict[str, Any]:
    (device,) = survey["devices"]
    assert isinstance(device, dict)
    return device


def sizes(device: dict[str, Any]) -> tuple[float | None, ...]:
    """Total, used, reserved and free, in MiB."""
    names = ("total_bytes", "used_bytes", "reserved_bytes", "free_bytes")
    return tuple(None if device[name] is None else device[name] / MIB for name in names)


def test_a_gpu_with_all_its_figures() -> None:
    survey = ask("rtx3060")
    assert survey["problems"] == []
    assert survey["devices"] == [
        {
            "name": "NVIDIA GeForce RTX 3060",
            "kind": "gpu",
            "uuid": "GPU-3060",
            "pci_id": "0000:01:00.0",
            "total_bytes": 12288 * MIB,
            "used_bytes": 1000 * MIB,
            "reserved_bytes": 288 * MIB,
            "free_bytes": 11000 * MIB,
            "memory": "own",
            "bandwidth_gb_s": pytest.approx(360.0, rel=0.001),  # the card's published figure
            "bandwidth_source": "driver",
            "driver": "580.95.05",
            "cuda_version": "13.0",
            "driver_model": None,
            "compute_capability": "8.6",
            "reads_power": True,
            "counts_energy": True,
            "slice_of": None,
            "backend": None,
            "in_use_by": [
                {"pid": 42, "name": "ollama", "used_bytes": 600 * MIB},
                {"pid": 41, "name": "game.exe", "used_bytes": 300 * MIB},
                {"pid": 43, "name": None, "used_bytes": None},
            ],
        }
    ]


def test_memory_in_use_by_others_is_not_free() -> None:
    device = only(ask("rtx4090_busy"))
    assert sizes(device) == (24564, 9216, 412, 14936)
    assert [user["name"] for user in device["in_use_by"]] == ["ollama", "game.exe"]


def test_two_equal_gpus_are_told_apart() -> None:
    first, second = ask("two_3090")["devices"]
    assert first["name"] == second["name"]
    assert (first["uuid"], first["pci_id"]) == ("GPU-3090-1", "0000:01:00.0")
    assert (second["uuid"], second["pci_id"]) == ("GPU-3090-2", "0000:02:00.0")
    assert first["bandwidth_gb_s"] == pytest.approx(936, rel=0.001)


def test_gpus_of_two_kinds() -> None:
    new, old = ask("mixed")["devices"]
    assert [new["compute_capability"], old["compute_capability"]] == ["8.9", "6.1"]
    assert [new["total_bytes"] // MIB, old["total_bytes"] // MIB] == [24564, 6144]
    assert old["bandwidth_gb_s"] == pytest.approx(192, rel=0.002)
    assert (new["counts_energy"], old["counts_energy"]) == (True, False)
    assert old["reads_power"] is True


def test_slices_stand_in_place_of_their_gpu() -> None:
    survey = ask("a100_mig")
    slices = survey["devices"]
    assert [each["uuid"] for each in slices] == ["MIG-3g", "MIG-2g", "MIG-1g"]
    assert {each["slice_of"] for each in slices} == {"GPU-A100"}
    assert {each["pci_id"] for each in slices} == {"0000:c1:00.0"}
    assert [each["total_bytes"] // MIB for each in slices] == [19968, 9856, 4864]
    assert [each["bandwidth_gb_s"] for each in slices] == pytest.approx([777.6, 388.8, 194.4]), "4, 2 and 1 eighths"
    assert slices[2]["name"] == "NVIDIA A100-SXM4-40GB MIG slice 4", "older drivers give a slice its GPU's name"
    assert [each["counts_energy"] for each in slices] == [False] * 3, "the counter is the whole GPU's"
    assert slices[2]["in_use_by"][0]["name"] == "ollama"
    (problem,) = survey["problems"]
    assert "divided into 3 slices (MIG), and one program can use only one" in problem["what"]
    assert "CUDA_VISIBLE_DEVICES" in problem["fix"]


def test_a_gpu_that_is_to_be_sliced_and_is_not_cannot_be_used() -> None:
    survey = ask("mig_empty")
    assert survey["devices"] == []
    assert "has none that this user may use" in survey["problems"][0]["what"]


def test_memory_of_the_fast_kind() -> None:
    device = only(ask("h100_80"))
    assert sizes(device) == (81559, 4, 551, 81004)
    assert device["bandwidth_gb_s"] == pytest.approx(3352, rel=0.001)


@pytest.mark.parametrize(("case", "bandwidth"), [("gb10", 273.0), ("n1x", None)])
def test_a_chip_without_memory_of_its_own_shows_the_computers(case: str, bandwidth: float | None) -> None:
    """GB10 does not answer; N1X answers 8128 MiB, which is wrong, and a bus width of another kind of memory."""
    survey = ask(case)
    device = only(survey)
    assert survey["problems"] == []
    assert (device["memory"], device["total_bytes"]) == ("shared", psutil.virtual_memory().total)
    assert device["reserved_bytes"] is None
    assert (device["bandwidth_gb_s"], device["bandwidth_source"]) == (bandwidth, "table" if bandwidth else None)
    assert device["pci_id"] == "000f:01:00.0"


def test_a_jetson_of_which_hardly_anything_is_told() -> None:
    device = only(ask("jetson"))
    assert (device["memory"], device["total_bytes"]) == ("shared", psutil.virtual_memory().total)
    assert (device["pci_id"], device["reads_power"], device["counts_energy"]) == (None, False, False)


def test_a_board_that_does_not_tell_its_memory_never_passes_for_the_computers() -> None:
    survey = ask("untold")
    device, (problem,) = only(survey), survey["problems"]
    assert (device["memory"], device["total_bytes"], device["free_bytes"]) == ("own", None, None)
    assert problem["what"] == "NVIDIA Board 7 does not say how much memory it has."


def test_an_old_driver_without_the_newer_calls() -> None:
    survey = ask("rtx3060", old_driver=True)
    device = only(survey)
    assert survey["problems"] == []
    assert sizes(device) == (12288, 1288, None, 11000), "the older call counts what is reserved as used"
    assert (device["bandwidth_gb_s"], device["bandwidth_source"]) == (360.0, "table")
    assert (device["pci_id"], device["counts_energy"], device["in_use_by"]) == (None, False, [])


def test_wsl_where_the_newer_memory_call_fails() -> None:
    device = only(ask("wsl"))
    assert sizes(device) == (12288, 1288, None, 11000)
    assert (device["bandwidth_gb_s"], device["bandwidth_source"]) == (360.0, "table")
    assert device["in_use_by"] == [{"pid": 41, "name": "game.exe", "used_bytes": None}]


def test_a_laptop_gpu_is_not_the_desktop_one() -> None:
    device = only(ask("laptop_4060"))
    assert (device["total_bytes"] // MIB, device["counts_energy"]) == (8188, False)
    assert device["bandwidth_gb_s"] == pytest.approx(256, rel=0.001)


def test_windows_names_its_driver_model_and_keeps_sizes_of_processes() -> None:
    device = only(ask("windows"))
    assert device["driver_model"] == "WDDM"
    assert [(user["pid"], user["used_bytes"]) for user in device["in_use_by"]] == [(41, None), (42, None)]


def test_other_users_processes_are_unknown_and_no_problem() -> None:
    survey = ask("users_hidden")
    assert survey["problems"] == []
    assert only(survey)["in_use_by"] == []


def test_a_name_that_is_no_text_is_replaced() -> None:
    assert only(ask("odd_name"))["name"] == "NVIDIA GPU"


@pytest.mark.parametrize(("case", "which"), [("lost", "GPU 0 (NVIDIA GeForce RTX 3090)"), ("lost_early", "GPU 0")])
def test_one_lost_gpu_does_not_hide_the_other(case: str, which: str) -> None:
    survey = ask(case)
    assert only(survey)["uuid"] == "GPU-3090-2"
    assert [problem["what"] for problem in survey["problems"]] == [f"{which} has stopped answering."]


def test_a_gpu_that_is_lost_between_two_looks() -> None:
    before, after = ask_often(machine("lost_later"))["surveys"]
    assert len(before["devices"]) == 1
    assert before["problems"] == after["devices"] == []
    assert after["problems"][0]["what"] == "GPU 0 has stopped answering."


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("version_mismatch", "the old one is still loaded"),
        ("driver_not_loaded", "not loaded"),
        ("no_permission", "may not use"),
    ],
)
def test_a_driver_that_fails_is_a_sentence(case: str, words: str) -> None:
    survey = ask(case)
    assert survey["devices"] == []
    (problem,) = survey["problems"]
    assert words in problem["what"]
    assert "models run on the CPU" in problem["fix"]


def test_a_driver_that_hangs_costs_one_thread_and_no_exit() -> None:
    answer = ask_often({**machine("hangs"), "TIMEOUT_S": "0.3"})
    assert [survey["problems"][0]["what"] for survey in answer["surveys"]] == ["The NVIDIA driver did not answer."] * 2
    assert answer["threads"] == 2, "the second question must not start a second thread"


ASK_TOGETHER = """
import json, threading, time
from backends.devices.nvml import read_nvidia
waited = []
def ask():
    begun = time.monotonic()
    read_nvidia(1.0)
    waited.append(time.monotonic() - begun)
callers = [threading.Thread(target=ask) for _ in range(4)]
for caller in callers:
    caller.start()
for caller in callers:
    caller.join()
print(json.dumps(waited))
"""


def test_nobody_waits_for_the_waits_of_others() -> None:
    environ = {**os.environ, **machine("hangs")}
    done = subprocess.run([sys.executable, "-c", ASK_TOGETHER], env=environ, capture_output=True, text=True, timeout=60)
    waited = json.loads(done.stdout)
    assert len(waited) == 4
    # Were each wait held up by the one before, the last of them would be four times as long as the first.
    assert max(waited) < 2 * min(waited)


def test_a_driver_that_is_slow_answers_whoever_asks_next() -> None:
    """It takes 0.7 s each time, as a driver does that wakes each GPU first, and nobody waits that long at a time."""
    pauses = [0] + [0.4] * 20
    waiting = {"TIMEOUT_S": "0.1", "PAUSES": json.dumps(pauses), "UNTIL_SEEN": "1"}
    surveys = ask_often({**machine("slow"), **waiting})["surveys"]
    assert surveys[0]["problems"][0]["what"] == "The NVIDIA driver did not answer."
    assert surveys[-1]["devices"]


def test_no_gpu_in_the_driver_is_no_problem() -> None:
    survey = ask("none")
    assert (survey["devices"], survey["problems"]) == ([], [])


def test_a_library_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"not a library")
    survey = ask_often({"LD_LIBRARY_PATH": str(tmp_path)})["surveys"][0]
    assert survey["devices"] == []


def test_no_library_and_no_card_is_no_problem(tmp_path: Path) -> None:
    if "NVIDIA" in display_vendors():
        pytest.skip("this machine has an NVIDIA card")
    survey = ask_often({"LD_LIBRARY_PATH": str(tmp_path)})["surveys"][0]
    assert (survey["devices"], survey["problems"]) == ([], [])


def test_the_cpu_is_always_a_device() -> None:
    cpu = read_machine().cpu
    assert cpu.kind == "cpu"
    assert cpu.name
    assert cpu.total_bytes is not None
    assert cpu.free_bytes is not None
    assert 0 < cpu.free_bytes < cpu.total_bytes

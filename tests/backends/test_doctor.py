"""The doctor on this machine with a real worker, and on machines made worse by real means."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backends.devices.records import MemoryInfo
from backends.doctor import DoctorReport, Probe, examine, pyside_problems
from backends.doctor_text import as_json, as_text
from backends.egress import Snapshot
from backends.errors import WorkerDied
from backends.fit.learned_file import LearnedFile
from backends.fit.records import FitSeen
from backends.local.engine import LocalEngine
from backends.local.facts import WorkerDevice, WorkerFacts
from backends.paths import app_paths
from backends.settings import Settings
from backends.version import APP_VERSION
from tests.backends.devices.stand_in import machine
from tests.contracts.places import ROOT

QUIET = Snapshot(local_only=True, allowed_hosts=(), contacted_hosts=(), connections=0, since=datetime.now(UTC))
CPU_ONLY = WorkerFacts("0.3.36", ("CPU",), (), gpu_offload=False)


async def cpu_only() -> WorkerFacts:
    return CPU_ONLY


async def look(home: Path, *, probe: Probe = cpu_only, network: Snapshot = QUIET) -> DoctorReport:
    return await examine(paths=app_paths({"NEARFAR_HOME": str(home)}), network=network, probe=probe)


def names_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


async def test_this_machine_asked_through_a_real_worker(tmp_path: Path) -> None:
    engine = LocalEngine(tmp_path / "none.gguf")
    try:
        report = await look(tmp_path, probe=engine.probe)
    finally:
        await engine.close()
    body = json.loads(json.dumps(as_json(report)))
    assert body["app"] == APP_VERSION
    assert body["python"] == ".".join(map(str, sys.version_info[:3]))
    assert body["llama_cpp"]["version"]
    assert "CPU" in body["llama_cpp"]["backends"]
    assert isinstance(body["llama_cpp"]["gpu_offload"], bool)
    assert body["devices"][-1]["kind"] == "cpu"
    assert set(body["devices"][-1]) >= {
        "name", "kind", "uuid", "total_bytes", "used_bytes", "free_bytes", "bandwidth_gb_s", "driver", "in_use_by",
    }  # fmt: skip
    assert 0 < body["memory"]["free_bytes"] < body["memory"]["total_bytes"]
    assert body["cpu"]["logical_cores"] == os.cpu_count()
    assert body["network"] == {
        "policy": "local_only",
        "allowed_hosts": [],
        "connections_since_start": 0,
        "proxy": None,
        "ca_file": None,
        "log": [],
    }
    assert body["paths"]["data"] == str(tmp_path / "data")
    assert re.fullmatch(r"ledger-20\d\d-\d\d\.jsonl", Path(body["paths"]["ledger_file"]).name)
    assert set(body["keyring"]) == {"backend", "usable"}
    assert all(set(each) == {"what", "fix"} and each["what"] and each["fix"] for each in body["problems"])
    assert names_in(tmp_path) == [], "looking must not make folders"


async def test_a_worker_that_does_not_start_is_a_problem_with_its_fix(tmp_path: Path) -> None:
    async def dead() -> WorkerFacts:
        raise WorkerDied("The local engine stopped: a library is missing.")

    report = await look(tmp_path, probe=dead)
    assert as_json(report)["llama_cpp"] == {"version": None, "backends": [], "gpu_offload": None, "devices": []}
    assert any("a library is missing" in each.what and each.fix for each in report.problems)
    assert "did not start" in as_text(report)


async def test_a_worker_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.doctor.PROBE_S", 0.05)

    async def silent() -> WorkerFacts:
        await asyncio.Event().wait()
        return CPU_ONLY

    report = await look(tmp_path, probe=silent)
    assert any("did not start in 0.05 seconds" in each.what for each in report.problems)


async def test_gpus_that_only_llama_cpp_sees(tmp_path: Path) -> None:
    devices = (
        WorkerDevice("Vulkan0", "AMD Radeon RX 7800", "gpu", 12 << 30, 16 << 30, "0000:03:00.0"),
        WorkerDevice("CPU", "some CPU", "cpu", 1, 2),
    )

    async def vulkan() -> WorkerFacts:
        return WorkerFacts("0.3.36", ("Vulkan", "CPU"), devices, gpu_offload=True)

    report = await look(tmp_path, probe=vulkan)
    radeon = next(each for each in report.devices if "Radeon" in each.name)
    assert (radeon.kind, radeon.total_bytes, radeon.used_bytes) == ("gpu", 16 << 30, 4 << 30)
    assert [each.kind for each in report.devices].count("cpu") == 1
    assert "AMD Radeon RX 7800, 12.0 GiB of 16.0 GiB free" in as_text(report)
    assert "Vulkan0 in llama.cpp" in as_text(report)
    assert "cpu_build" not in [each.code for each in report.problems]
    assert as_json(report)["llama_cpp"]["devices"][0]["pci_id"] == "0000:03:00.0"


async def test_what_the_person_chose_is_said(tmp_path: Path) -> None:
    unsaid = await look(tmp_path)
    assert as_json(unsaid)["settings"] == {"local_only": None, "keep_history": None}
    assert "Keep history" not in as_text(unsaid)
    for local_only, words in ((None, "not chosen yet"), (True, "on; nothing"), (False, "off; lanes may")):
        report = replace(unsaid, settings=Settings(local_only=local_only, keep_history=False))
        assert as_json(report)["settings"] == {"local_only": local_only, "keep_history": False}
        (line,) = [line for line in as_text(report).splitlines() if line.startswith("Local only")]
        assert words in line
        assert "Keep history  off" in as_text(report)


async def test_a_file_in_place_of_the_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("a file")
    report = await look(home)
    folders = [each for each in report.problems if each.code == "folder"]
    assert len(folders) == 5
    assert all(str(home) in each.what and str(home) in each.fix for each in folders)


@pytest.mark.parametrize(
    ("memory", "words"),
    [
        (MemoryInfo(2 << 30, 1 << 30, 0, 0), "2.0 GiB of memory, enough for the smallest"),
        (MemoryInfo(16 << 30, 1 << 29, 0, 0), "Only 0.5 GiB of 16.0 GiB"),
        (MemoryInfo(16 << 30, 8 << 30, 0, 0), None),
    ],
)
async def test_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: MemoryInfo, words: str | None
) -> None:
    monkeypatch.setattr("backends.doctor.read_memory", lambda: memory)
    found = [each.what for each in (await look(tmp_path)).problems if each.code == "memory"]
    assert len(found) == (words is not None)
    assert words is None or words in found[0]


@pytest.mark.parametrize(
    ("installed", "python", "bad"),
    [
        ("6.12.0", (3, 11), True),
        ("6.12.1", (3, 10), True),
        ("6.12.0", (3, 12), False),
        ("6.11.3", (3, 11), False),
        (None, (3, 11), False),
    ],
)
def test_the_pyside_that_aborts(installed: str | None, python: tuple[int, int], bad: bool) -> None:
    assert bool(pyside_problems(installed, python)) == bad


async def test_the_text_is_plain_whatever_a_driver_calls_its_gpu(tmp_path: Path) -> None:
    report = await look(tmp_path)
    odd = replace(report.devices[-1], name="GPU\x1b[31m\r\nred", kind="gpu", total_bytes=None, driver="5\x07")
    text = as_text(replace(report, devices=(odd,), problems=()))
    assert "\x1b" not in text
    assert "\r" not in text
    assert "GPU?[31m??red, memory unknown" in text
    assert text.endswith("No problems found.\n")


async def test_the_text_holds_what_the_json_holds(tmp_path: Path) -> None:
    network = replace(QUIET, local_only=False, allowed_hosts=("api.openai.com",), connections=1)
    report = await look(tmp_path, network=network)
    text, body = as_text(report), as_json(report)
    assert body["network"] == {
        "policy": "allowed_hosts",
        "allowed_hosts": ["api.openai.com"],
        "connections_since_start": 1,
        "proxy": None,
        "ca_file": None,
        "log": [],
    }
    assert "may contact api.openai.com; 1 connection since" in text
    for each in report.problems:
        assert f"- {each.what}\n  {each.fix}\n" in text


# Machines other than this one: the doctor in a process of its own, with the machine changed around it.
SCRIPT = """
import asyncio, json
from tests.backends.test_doctor import QUIET, cpu_only
from backends.doctor import examine
from backends.doctor_text import as_json, as_text
from backends.paths import app_paths
async def main():
    report = await examine(paths=app_paths(), network=QUIET, probe=cpu_only)
    codes = [each.code for each in report.problems]
    print(json.dumps(as_json(report) | {"codes": codes, "text": as_text(report)}))
asyncio.run(main())
"""


def elsewhere(home: Path, environ: Mapping[str, str], prefix: tuple[str, ...] = ()) -> dict[str, Any]:
    done = subprocess.run(
        [*prefix, sys.executable, "-c", SCRIPT],
        env={**os.environ, "NEARFAR_HOME": str(home), **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def test_an_nvidia_gpu_that_llama_cpp_was_not_built_for(tmp_path: Path) -> None:
    body = elsewhere(tmp_path, machine("rtx3060"))
    assert [each["kind"] for each in body["devices"]] == ["gpu", "cpu"]
    assert body["devices"][0]["in_use_by"][0] == {"pid": 42, "name": "ollama", "used_bytes": 600 << 20}
    (problem,) = [each for each, code in zip(body["problems"], body["codes"], strict=True) if code == "cpu_build"]
    assert "do not use NVIDIA GeForce RTX 3060" in problem["what"]
    assert "`make run GPU=cuda`" in problem["fix"]


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare to mount a small disk")
def test_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=2m tmpfs "$1" || exit 77; shift; exec "$@"'
    prefix = ("unshare", "-rm", "sh", "-c", mount, "sh", str(tmp_path))
    if subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    body = elsewhere(tmp_path, {}, prefix)
    assert body["codes"].count("disk") == 1, "one disk, one sentence"


BACKENDS = """
import time
from keyring.backend import KeyringBackend

class Plain(KeyringBackend):
    priority = 9
    def get_password(self, service, username): return None
    def set_password(self, service, username, password): raise NotImplementedError
    def delete_password(self, service, username): raise NotImplementedError

class Slow(Plain):
    def get_password(self, service, username): time.sleep(60)
Slow.__module__ = "keyring.backends.SecretService"

class Locked(Plain):
    def get_password(self, service, username): raise RuntimeError("secret-detail")
Locked.__module__ = "keyring.backends.SecretService"

class Good(Plain): pass
Good.__module__ = "keyring.backends.SecretService"
"""


@pytest.mark.parametrize(
    ("backend", "name", "usable", "words"),
    [
        ("keyring.backends.fail.Keyring", "none", False, "no keyring"),
        ("keyring.backends.null.Keyring", "none", False, "no keyring"),
        ("stand_ins.Plain", "stand_ins", False, "plain text"),
        ("stand_ins.Locked", "Secret Service", False, "locked or broken"),
        ("stand_ins.Slow", "unknown", False, "did not answer in 3 seconds"),
        ("stand_ins.Good", "Secret Service", True, ""),
    ],
)
def test_keyrings(tmp_path: Path, backend: str, name: str, usable: bool, words: str) -> None:
    (tmp_path / "stand_ins.py").write_text(BACKENDS)
    body = elsewhere(tmp_path, {"PYTHONPATH": str(tmp_path), "PYTHON_KEYRING_BACKEND": backend})
    assert body["keyring"] == {"backend": name, "usable": usable}
    (said,) = [line for line in body["text"].splitlines() if line.startswith("Keyring")]
    assert words in said
    assert ("not usable" in said) == (not usable)
    assert "secret-detail" not in body["text"]
    assert "none in the keyring; any other for the session only" in body["text"]
    assert "keyring" not in body["codes"], "no key is kept in it, so nothing is wrong without it"


async def test_keys_that_are_kept_in_a_keyring_that_cannot_be_used_are_a_problem(tmp_path: Path) -> None:
    paths = app_paths({"NEARFAR_HOME": str(tmp_path)})
    report = await examine(paths=paths, network=QUIET, probe=cpu_only, settings=Settings(kept_keys=("openai", "groq")))
    (problem,) = [each for each in report.problems if each.code == "keyring"]
    assert problem.what.endswith("for openai, groq, and cannot be used now. This machine has no keyring.")
    assert "in the keyring for openai, groq; any other for the session only" in as_text(report)


async def test_it_says_what_loads_and_runs_have_taught(tmp_path: Path) -> None:
    assert as_json(await look(tmp_path))["learned"] == {"devices": [], "models": []}
    seen = FitSeen("llama-3.2-1b:Q4_K_M", "Q4_K_M", ("NVIDIA RTX 4090",), 8192, "f16", 17, 2**30, 2**30, 90.0, None)
    LearnedFile.of(app_paths({"NEARFAR_HOME": str(tmp_path)})).add(seen)
    report = await look(tmp_path)
    body = json.loads(json.dumps(as_json(report)))
    assert body["learned"]["devices"][0]["loads"] == 1
    assert body["learned"]["models"][0]["real_bytes"] == 2**30
    documented = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for kind in ("devices", "models"):
        for field in body["learned"][kind][0]:
            assert f"| `learned.{kind}[].{field}` |" in documented
    assert "NVIDIA RTX 4090: 1 load took what was estimated" in as_text(report)

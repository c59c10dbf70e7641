"""`nearfar fit` as a program of its own, on machines that are not here, with the real pynvml; as JSON and as text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backends.fit.learned_file import LearnedFile
from backends.fit.records import FitSeen
from tests.backends.devices.stand_in import machine
from tests.contracts.places import ROOT

MIB, GIB = 2**20, 2**30
GPU = "NVIDIA GeForce "
Q4, Q8 = "llama-3.1-8b:Q4_K_M", "llama-3.1-8b:Q8_0"
SIMULATED = ("--device", "RTX 4090:24:22.5", "--device", "cpu:64:56:80")
CHOICE_FIELDS = {
    *("ref", "model", "name", "quant", "file_bytes", "installed", "verdict", "layers", "gpu_layers", "context", "kv"),
    *("weights_bytes", "kv_bytes", "compute_bytes", "overhead_bytes", "total_bytes", "free_bytes", "missing_bytes"),
    *("exact", "tok_s_low", "tok_s_high", "speed_basis", "own_runs", "kld", "delta_ppl_percent"),
    *("quality_measured_on", "rank", "reason", "parts", "levers"),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, so that the memory's speed is measured once."""
    return tmp_path_factory.mktemp("home")


def ran(home: Path, *arguments: str, case: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", "fit", *arguments],
        env={**os.environ, "NEARFAR_HOME": str(home), **(machine(case) if case else {})},
        capture_output=True,
        text=True,
        timeout=120,
        encoding="utf-8",
    )


def fit(home: Path, *arguments: str, case: str = "") -> dict[str, Any]:
    done = ran(home, *arguments, "--json", case=case)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def row(body: dict[str, Any], ref: str) -> dict[str, Any]:
    found: dict[str, Any] = next(choice for choice in body["choices"] if choice["ref"] == ref)
    return found


def first(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(choice for choice in body["choices"] if choice["rank"] == 1)
    return found


# -- ten machines --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """`free_mib` of the GPUs that the recommended model goes to, and `gb_s` of each; `why` is the argument."""

    device: str
    ref: str
    gpus: int
    free_mib: int
    gb_s: float
    efficiency: float
    constant_ms: float
    why: str


CASES = {
    "rtx3060": Case(GPU + "RTX 3060", Q8, 1, 11000, 360, 0.80, 1, "Q8_0 takes 9.0 of 10.7 GiB"),
    "rtx4090_busy": Case(GPU + "RTX 4090", Q8, 1, 14936, 1008, 0.80, 1, "9.0 of the 14.6 GiB that others leave"),
    "two_3090": Case(
        "2 × " + GPU + "RTX 3090", "llama-3.3-70b:Q4_K_M", 2, 48000, 936, 0.80, 1, "43 of 46.9 GiB, one card's speed"
    ),
    "mixed": Case(
        GPU + "RTX 4090 + " + GPU + "GTX 1060 6GB",
        Q8,
        1,
        23652,
        1008,
        0.80,
        1,
        "the 4090 alone; the 1060 would slow it",
    ),
    "a100_mig": Case(
        "NVIDIA A100-SXM4-40GB MIG 3g.20gb + NVIDIA A100-SXM4-40GB MIG 2g.10gb + NVIDIA A100-SXM4-40GB MIG slice 4",
        *(Q8, 1, 19931, 777.6, 0.55, 2),
        why="one slice, the widest; slices do not add up, and it is HBM",
    ),
    "h100_80": Case("NVIDIA H100 80GB HBM3", "llama-3.3-70b:Q8_0", 1, 81004, 3352, 0.55, 2, "71.9 of 79.1 GiB, HBM"),
    "wsl": Case(GPU + "RTX 3060", Q8, 1, 11000, 360, 0.80, 1, "by the older memory call; bandwidth from the table"),
    "laptop_4060": Case(
        GPU + "RTX 4060 Laptop GPU",
        "llama-3.1-8b:Q5_K_M",
        1,
        7932,
        256,
        0.80,
        1,
        "6.8 GiB for it: Q6_K misses by 50 MiB",
    ),
    "lost": Case(GPU + "RTX 3090", Q8, 1, 24000, 936, 0.80, 1, "the card that still answers"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_a_machine_with_its_figures(home: Path, case: str) -> None:
    expected = CASES[case]
    body = fit(home, case=case)
    assert body["device"] == expected.device
    assert (body["context"], body["kv"], body["simulated"]) == (8192, "f16", False)
    best = first(body)
    assert best["ref"] == expected.ref, expected.why
    assert best is body["choices"][0]
    assert body["summary"].startswith(f"On this machine take {best['name']} {best['quant']} ({best['ref']}). ")
    assert (best["verdict"], best["gpu_layers"], best["missing_bytes"]) == ("gpu", best["layers"], 0)
    assert best["free_bytes"] == expected.free_mib * MIB
    *gpus, host = best["parts"]
    assert len(gpus) == expected.gpus
    assert host["layers"] == 0
    for size in ("weights_bytes", "kv_bytes", "compute_bytes", "overhead_bytes", "total_bytes"):
        assert best[size] == sum(part[size] for part in gpus)
    assert best["kv_bytes"] == (1024 if "8b" in best["ref"] else 2560) * MIB  # 128 and 320 KiB a token
    assert best["overhead_bytes"] == expected.gpus * 457 * MIB
    touched = best["weights_bytes"] + best["kv_bytes"] / 2
    seconds = touched / (expected.efficiency * expected.gb_s * 1e9) + expected.constant_ms / 1000
    assert best["tok_s_low"] == pytest.approx(0.75 / seconds, rel=0.005)
    assert best["tok_s_high"] == pytest.approx(1.25 / seconds, rel=0.005)
    assert best["speed_basis"] == "estimate"
    if expected.gpus == 1:
        check_8b_at_q4(row(body, Q4))
    unbuilt = any(problem["code"] == "cpu_build" for problem in body["problems"])
    for words in (body["summary"], best["reason"]):
        assert ("once llama.cpp is built for it; as built now: " in words) == unbuilt


def check_8b_at_q4(q4: dict[str, Any]) -> None:
    """A CUDA log says 4,403.49 MiB of weights, and 258.50 MiB of buffer with the rows of logits we do without."""
    assert q4["weights_bytes"] / MIB == pytest.approx(4403.49, abs=0.01)
    assert q4["kv_bytes"] == 1024 * MIB
    assert 0 < q4["compute_bytes"] <= 258.5 * MIB
    assert q4["verdict"] == "gpu"


def test_a_gpu_that_shares_the_memory(home: Path) -> None:
    body = fit(home, case="gb10")
    (gpu, cpu) = body["devices"]
    assert (gpu["memory"], gpu["bandwidth_gb_s"]) == ("shared", 273.0)
    assert gpu["total_bytes"] == cpu["total_bytes"]
    q4 = row(body, "llama-3.2-1b:Q4_K_M")
    assert q4["verdict"] == "gpu"
    assert q4["free_bytes"] == gpu["free_bytes"]


@pytest.mark.parametrize("case", ["version_mismatch", "none"])
def test_without_a_gpu_the_memory_counts(home: Path, case: str) -> None:
    body = fit(home, case=case)
    (cpu,) = body["devices"]
    assert body["device"] == cpu["name"]
    small = row(body, "llama-3.2-1b:IQ3_M")
    assert (small["verdict"], small["gpu_layers"], small["free_bytes"]) == ("ram", 0, cpu["free_bytes"])
    assert small["tok_s_low"] > 0, "the memory's speed is measured where that was never done"
    assert {choice["verdict"] for choice in body["choices"]} <= {"ram", "no"}
    said = " ".join(problem["what"] for problem in body["problems"])
    assert ("the old one is still loaded" in said) == (case == "version_mismatch")


# -- JSON ----------------------------------------------------------------------------------------------------------


def test_the_fields_that_scripts_are_promised(home: Path) -> None:
    body = fit(home, *SIMULATED)
    assert set(body) == {
        *("device", "simulated", "devices", "context", "kv", "summary", "choices", "not_runnable", "problems")
    }
    for choice in body["choices"]:
        assert set(choice) == CHOICE_FIELDS
        assert choice["ref"] == f"{choice['model']}:{choice['quant']}"
        assert (choice["tok_s_low"] is None) == (choice["verdict"] == "no")
        assert choice["levers"] is None, "worked out for one alone"
    assert [model["model"] for model in body["not_runnable"]] == ["llama-3.2-11b-vision", "llama-3.2-90b-vision"]
    documented = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for name in CHOICE_FIELDS:
        assert f"| `choices[].{name}` |" in documented
    for name in body:
        assert f"| `{name}` |" in documented


def test_a_machine_that_somebody_means_to_buy(home: Path) -> None:
    body = fit(home, *SIMULATED)
    assert (body["simulated"], body["device"]) == (True, "RTX 4090")
    assert body["summary"].startswith("On such a machine take Llama 3.1 8B Instruct Q8_0")
    assert first(body)["ref"] == Q8
    split = next(choice for choice in body["choices"] if choice["rank"] == 3)
    assert split["verdict"] == "split"
    gpu, host = split["parts"]
    assert split["total_bytes"] == gpu["total_bytes"] < 22.5 * GIB
    assert (gpu["layers"], host["layers"]) == (split["gpu_layers"], split["layers"] - split["gpu_layers"])
    none = row(body, "llama-3.1-405b:Q4_K_M")
    assert (none["verdict"], none["rank"]) == ("no", None)
    assert none["missing_bytes"] > 0


def test_context_and_kv_type_are_as_wished(home: Path) -> None:
    body = fit(home, *SIMULATED, "--context", "32,768", "--kv", "q8_0")
    assert (body["context"], body["kv"]) == (32_768, "q8_0")
    found = row(body, Q8)
    assert (found["context"], found["kv"]) == (32_768, "q8_0")
    assert found["kv_bytes"] == 4096 * MIB * 34 // 64
    assert row(body, "llama-3-8b:Q8_0")["context"] == 8192


def test_the_settings_are_the_usual_wish(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "settings.json").write_text(json.dumps({"n_ctx": 4096, "kv_type": "q4_0"}))
    body = fit(tmp_path, *SIMULATED)
    assert (body["context"], body["kv"]) == (4096, "q4_0")


def test_one_quant_with_what_would_change_it(home: Path) -> None:
    body = fit(home, "llama-3.3-70b:q4_k_m", *SIMULATED)
    (choice,) = body["choices"]
    assert choice["ref"] == "llama-3.3-70b:Q4_K_M"
    assert body["summary"] == f"Llama 3.3 70B Instruct Q4_K_M: {choice['reason']}"
    assert choice["verdict"] == "split"
    levers = {lever["kind"]: lever for lever in choice["levers"]}
    assert levers["kv_type"]["gpu_layers"] > choice["gpu_layers"]
    assert all(lever["saves_bytes"] > 0 and lever["verdict"] in ("gpu", "split") for lever in choice["levers"])
    (whole,) = fit(home, Q8, *SIMULATED)["choices"]
    assert (whole["rank"], whole["levers"]) == (1, [])


def test_the_quants_of_one_model(home: Path) -> None:
    body = fit(home, "llama-3.3-70b", "--device", "RTX 3090:24:23.5", "--device", "RTX 3090:24:23.5")
    assert {choice["model"] for choice in body["choices"]} == {"llama-3.3-70b"}
    assert first(body)["quant"] == "Q4_K_M"


def test_what_was_learned_here_counts_here_and_not_elsewhere(tmp_path: Path) -> None:
    name = GPU + "RTX 3060"
    seen = FitSeen(Q4, "Q4_K_M", (name,), 8192, "f16", 33, 6000 * MIB, 6200 * MIB, 50.0, None)
    run = FitSeen(Q4, "Q4_K_M", (name,), 8192, "f16", 33, 6000 * MIB, None, 50.0, 55.0)
    LearnedFile(tmp_path / "data" / "learned.json").add(seen, run)
    here = fit(tmp_path, Q4, case="rtx3060")["choices"][0]
    assert here["overhead_bytes"] == (457 + 200) * MIB
    assert (here["speed_basis"], here["own_runs"]) == ("own_runs", 1)
    assert here["tok_s_low"] < 55 < here["tok_s_high"]
    assert here["free_bytes"] == 11000 * MIB
    there = fit(tmp_path, Q4, "--device", f"{name}:12:10.74", case="rtx3060")["choices"][0]
    assert (there["overhead_bytes"], there["speed_basis"]) == (457 * MIB, "estimate")


def test_it_changes_nothing_but_the_cache(tmp_path: Path) -> None:
    fit(tmp_path, *SIMULATED)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"memory-bandwidth.json"}


# -- text ----------------------------------------------------------------------------------------------------------


def test_the_text_begins_with_advice_and_fits_a_terminal(home: Path) -> None:
    done = ran(home, *SIMULATED)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines) <= 100
    assert lines[0].startswith("On such a machine take Llama 3.1 8B Instruct Q8_0 (llama-3.1-8b:Q8_0). Best quality")
    assert "Get the first with: nearfar models pull llama-3.1-8b:Q8_0" in lines
    table = [line for line in lines if line.startswith(("1 ", "2 ", "3 ")) and " GiB  " in line]
    assert [line.split()[1] for line in table] == [Q8, Q4, "llama-3.3-70b:Q3_K_M"]
    assert "  9.0 GiB  22.5 GiB   65-108  0.001" in table[0]
    assert any(line.startswith("Llama 3.2 11B Vision Instruct: ") for line in lines)


def test_the_text_of_one_has_every_figure(home: Path) -> None:
    done = ran(home, "llama-3.3-70b:Q4_K_M", *SIMULATED)
    assert done.returncode == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= 100
    for words in (
        "Llama 3.3 70B Instruct Q4_K_M (llama-3.3-70b:Q4_K_M), file 39.6 GiB",
        "layers run on the CPU",
        "Sizes are computed, for a context of 8,192 tokens and a KV cache of f16.",
        "tok/s, an estimate from memory bandwidth.",
        "Quality: KLD 0.0282, perplexity +4.8 %",
        "What would change it:",
        "  KV cache q8_0",
    ):
        assert words in done.stdout
    headings = ["device", "layers", "weights", "KV", "compute", "overhead", "total", "free", "GiB"]
    assert headings in [line.split() for line in done.stdout.splitlines()], "widths follow the name of this CPU"


def test_a_problem_of_the_machine_is_said_with_its_fix(home: Path) -> None:
    done = ran(home, case="version_mismatch")
    assert done.returncode == 0
    tail = done.stdout[done.stdout.index("Problems:") :]
    assert "the old one is still loaded" in " ".join(tail.split())


def test_help_says_how_to_name_a_machine(home: Path) -> None:
    done = ran(home, "--help")
    assert done.returncode == 0
    assert "NAME:TOTAL_GIB:FREE_GIB[:GBPS]" in done.stdout

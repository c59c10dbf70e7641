"""`nearfar bench` as a person or a script meets it: real processes, the shipped demo model and small files."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from backends.paths import app_paths
from tests.app.test_cli import LIMIT_S, nearfar
from tests.app.test_cli_load import on_a_tight_machine
from tests.gguf_factory import write_script
from tests.processes import wait_gone

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
QUICK = ("--rounds", "1", "--prompt-tokens", "64", "--tokens", "32")
SPREADS = (
    *("prompt_tokens", "decode_tokens", "prefill_tok_s", "engine_prefill_tok_s", "decode_tok_s"),
    *("engine_decode_tok_s", "token_us", "eval_us", "sample_us", "path_us", "path_percent"),
)
FIELDS = {
    *("target", "model", "device", "quant", "gpu_layers", "layers", "context", "kv", "threads", "n_batch", "load_ms"),
    *("rounds", "touched_bytes", "bandwidth_share", "memories", "other_work", "app_version", "engine_build", *SPREADS),
}


def words(count: int) -> list[bytes]:
    return [f" word{number}".encode() for number in range(count)]


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    return write_script(folder / "endless.gguf", words(40), loop_to=0, n_ctx_train=65_536)


def body_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def test_one_object_with_every_field(endless: Path) -> None:
    found = body_of(nearfar("bench", str(endless), "--json", "--rounds", "2", "--tokens", "1500"))
    assert set(found) == FIELDS
    assert found["target"] == f"local:{endless}"
    assert (found["device"], found["quant"], found["gpu_layers"], found["rounds"]) == ("CPU", "F16", 0, 2)
    assert found["prompt_tokens"]["median"] == pytest.approx(512, rel=0.1)
    assert found["decode_tokens"] == {"median": 1500, "low": 1500, "high": 1500}
    for name in SPREADS:
        spread = found[name]
        assert set(spread) == {"median", "low", "high"}, name
        assert spread["low"] <= spread["median"] <= spread["high"], name
    assert found["decode_tok_s"]["median"] > 0
    assert found["token_us"]["median"] > found["eval_us"]["median"] > 0
    assert found["touched_bytes"] > 0
    (memory,) = found["memories"]
    assert set(memory) == {"device", "touched_bytes", "bandwidth_gb_s", "bandwidth_source"}
    assert memory["bandwidth_source"] in ("measured", "measured_beside_other_work", None)
    if memory["bandwidth_gb_s"] is not None:  # a machine with little memory to spare measures none
        share = found["touched_bytes"] * found["decode_tok_s"]["median"] / (memory["bandwidth_gb_s"] * 1e9)
        assert found["bandwidth_share"] == pytest.approx(share, rel=0.01)


def test_every_field_is_documented() -> None:
    section = DOCS.read_text(encoding="utf-8").partition("## nearfar bench")[2].partition("\n## ")[0]
    named = {name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)", row)}
    assert named >= FIELDS


def test_text_for_people(endless: Path) -> None:
    done = nearfar("bench", f"local:{endless}", "--tokens", "1500")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    for said in (
        *("prefill tok/s", "decode tok/s", "as the app shows it", "by llama.cpp", "1,500 decoded in each round"),
        *("load time", "threads, n_batch", "the app's own path", "read for each token", "decoding reaches"),
    ):
        assert said in done.stdout
    assert max(map(len, done.stdout.splitlines()[1:])) <= 100


def test_a_model_that_ends_early_is_told(tmp_path: Path) -> None:
    short = write_script(tmp_path / "short.gguf", words(25))
    done = nearfar("bench", str(short), *QUICK)
    assert "The model ended early" in done.stdout
    silent = write_script(tmp_path / "silent.gguf", words(1))
    done = nearfar("bench", str(silent), *QUICK)
    assert "Fewer than 16 tokens" in done.stdout
    assert re.search(r"decode tok/s +n/a +n/a", done.stdout)


@pytest.mark.parametrize("name", ["demo", "local:demo"])
def test_the_demo_by_its_bare_name(name: str) -> None:
    found = body_of(nearfar("bench", name, "--json", *QUICK))
    assert found["target"] == "local:demo"
    assert found["memories"] is not None


def test_nothing_is_kept_of_it() -> None:
    assert nearfar("bench", "demo", *QUICK).returncode == 0
    assert nearfar("history", "list").stdout == ""
    assert not app_paths().history_file.exists()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("openai:gpt-4o",), 2, "Only models that run in this app"),
        (("practice",), 2, "Only models that run in this app"),
        (("local:",), 2, "not a target"),
        (("demo", "--rounds", "0"), 2, "whole number from 1 to 100"),
        (("demo", "--tokens", "many"), 2, "whole number"),
        ((), 2, "MODEL"),
        (("no-such-model",), 1, "no installed model"),
        (("llama-3.1-8b:Q4_K_M",), 1, "not on this disk"),
        (("/nowhere/missing.gguf",), 1, "missing.gguf"),
        (("demo", "--tokens", "2040"), 1, "no room for a prompt"),
    ],
)
def test_errors_are_one_sentence(arguments: tuple[str, ...], status: int, said: str) -> None:
    done = nearfar("bench", *arguments, "--json")
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_model_that_would_not_fit_is_loaded_only_when_told_so(endless: Path) -> None:
    refused = on_a_tight_machine("bench", str(endless), *QUICK)
    assert refused.returncode == 1
    assert "--load-anyway" in refused.stderr
    assert "prompt is kept" not in refused.stderr
    anyway = on_a_tight_machine("bench", str(endless), *QUICK, "--load-anyway")
    assert anyway.returncode == 0, anyway.stderr


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C cannot be sent to one process there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_leaves_no_child(endless: Path, number: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "app", "bench", str(endless), "--tokens", "7000", "--rounds", "100"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    workers = wait_for_worker(child.pid)
    child.send_signal(number)
    out, errors = child.communicate(timeout=LIMIT_S)
    assert child.returncode == 130
    assert out == errors == ""
    assert wait_gone(*workers)


def wait_for_worker(pid: int) -> list[int]:
    """The children of the command, once one of them has the model's file open and computes."""
    process = psutil.Process(pid)
    for _ in range(LIMIT_S * 20):
        for child in process.children():
            if child.cpu_times().user > 1.0:
                return [each.pid for each in process.children()]
        try:
            process.wait(0.05)
        except psutil.TimeoutExpired:
            continue
        break
    pytest.fail("no worker was seen at work")

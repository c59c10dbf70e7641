"""The command line as a person or a script meets it: real processes, the shipped demo model, the practice endpoint."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.version import APP_VERSION
from tests.gguf_factory import write_script

QUESTION = "What does tok/s mean?"
LIMIT_S = 120
RESULT_FIELDS = {
    *("target", "model", "provider", "device", "gpu_layers", "quant", "text", "finish_reason", "complete"),
    *("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "ttft_ms", "decode_tok_s", "e2e_ms"),
    *("load_ms", "cost_usd", "cost_basis", "price_as_of", "energy_j", "engine_timings", "settings", "app_version"),
    "engine_build",
}


def nearfar(*arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_S,
        env={**os.environ, **(env or {})},
        check=False,
    )


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = tuple(f" word{number}".encode() for number in range(40))
    return write_script(tmp_path_factory.mktemp("models") / "endless.gguf", words, loop_to=0)


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_version() -> None:
    done = nearfar("--version")
    assert (done.returncode, done.stdout) == (0, f"nearfar {APP_VERSION}\n")


def test_two_targets_as_json() -> None:
    done = nearfar("run", QUESTION, "--target", "local:demo", "--target", "practice", "--temperature", "0", "--json")
    assert done.returncode == 0, done.stderr
    events = lines(done)
    assert {event["event"] for event in events} == {"started", "delta", "finished"}
    results = {event["target"]: event["result"] for event in events if event["event"] == "finished"}
    assert set(results) == {"local:demo", "practice"}
    for target, result in results.items():
        assert set(result) >= RESULT_FIELDS
        streamed = "".join(event["text"] for event in events if event["event"] == "delta" and event["target"] == target)
        assert streamed == result["text"]
        assert result["complete"]
        assert result["ttft_ms"] > 0
        assert result["decode_tok_s"] is None or result["decode_tok_s"] > 0
        assert result["completion_tokens"] > 10
    assert results["local:demo"]["text"] == results["practice"]["text"]
    assert abs(results["local:demo"]["completion_tokens"] - results["practice"]["completion_tokens"]) <= 1
    assert results["practice"]["cost_usd"] > 0
    assert results["practice"]["cost_basis"] == "practice_at_gpt4o_price"
    assert results["local:demo"]["cost_usd"] is None


def test_nothing_colours_without_a_terminal() -> None:
    done = nearfar("run", QUESTION, "--target", "local:demo", "--max-tokens", "20")
    assert done.returncode == 0
    assert done.stdout.startswith("local:demo\n")
    assert "tok/s" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_the_prompt_can_come_from_standard_input() -> None:
    done = nearfar(
        "run", "-", "--target", "local:demo", "--max-tokens", "4", "--temperature", "0", "--json", stdin=QUESTION
    )
    assert done.returncode == 0
    assert lines(done)[-1]["result"]["completion_tokens"] == 4


def test_the_same_seed_gives_the_same_text() -> None:
    ask = (
        "run",
        QUESTION,
        "--target",
        "local:demo",
        "--seed",
        "5",
        "--temperature",
        "1.5",
        "--max-tokens",
        "30",
        "--json",
    )
    first, second = (lines(nearfar(*ask))[-1]["result"]["text"] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_prints_what_arrived(endless: Path, number: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "app", "run", "go", "--target", f"local:{endless}", "--max-tokens", "1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    assert child.stdout is not None
    head = child.stdout.read(400)
    child.send_signal(number)
    rest, errors = child.communicate(timeout=LIMIT_S)
    assert child.returncode == 130
    assert "word3 word4" in head
    assert "tok/s" in rest
    assert "Stopped" in errors
    assert "Traceback" not in errors


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return f"local:{path}"


def bad_targets(folder: Path, unused_port: int) -> Iterator[tuple[str, str, int]]:
    """(target, words of the sentence, exit status)"""
    yield "nowhere", "not a target", 2
    yield "martian:model", "no provider", 2
    yield "local:no-such-model", "no installed model", 1
    yield f"local:{folder / 'missing.gguf'}", "missing.gguf", 1
    yield write(folder / "empty.gguf", b""), "empty", 1
    yield write(folder / "noise.gguf", b"not a model at all" * 100), "GGUF", 1
    yield write(folder / "page.gguf", b"<!DOCTYPE html><html><body>Sign in</body></html>"), "web page", 1
    yield "custom:lab/model", "address", 2


def test_bad_input_is_a_sentence(tmp_path: Path, unused_port: int) -> None:
    for target, words, status in bad_targets(tmp_path, unused_port):
        done = nearfar("run", QUESTION, "--target", target)
        assert done.returncode == status, (target, done)
        assert words in done.stderr, (target, done.stderr)
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_refused_port_and_a_page_instead_of_an_api_leave_the_other_lane_working(unused_port: int) -> None:
    env = {"NEARFAR_LAB_BASE_URL": f"http://127.0.0.1:{unused_port}/v1"}
    both = ("--target", "custom:lab/model", "--target", "local:demo", "--max-tokens", "8", "--json")
    done = nearfar("run", QUESTION, *both, env=env)
    assert done.returncode == 1
    ends = {event["target"]: event["event"] for event in lines(done) if event["event"] in ("finished", "failed")}
    assert ends == {"custom:lab/model": "failed", "local:demo": "finished"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "hi"),
        ("run", "", "--target", "local:demo"),
        ("run", "hi", "--target", "local:demo", "--max-tokens", "0"),
        ("run", "hi", "--target", "local:demo", "--temperature", "hot"),
        ("run", "hi", "--target", "local:demo", "--seed", "-1"),
        ("run", "hi", "--target", "openai:gpt-4o", "--key-env", "sk-not-a-name"),
        ("sing",),
        ("history",),
        ("history", "show", "cmp-nothing"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_2(arguments: tuple[str, ...]) -> None:
    done = nearfar(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("nearfar: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "sk-not-a-name" not in done.stderr


def test_history_lists_shows_searches_and_exports() -> None:
    assert nearfar("run", QUESTION, "--target", "local:demo", "--max-tokens", "12").returncode == 0
    assert nearfar("run", "Another question", "--target", "local:demo", "--max-tokens", "4").returncode == 0
    listed = lines(nearfar("history", "list", "--json"))
    assert [each["prompt_start"] for each in listed] == ["Another question", QUESTION]
    found = lines(nearfar("history", "search", "tok/s mean", "--json"))
    assert [each["id"] for each in found] == [listed[1]["id"]]
    shown = lines(nearfar("history", "show", listed[1]["id"], "--json"))[0]
    assert shown["prompt"] == QUESTION
    assert shown["runs"][0]["status"] == "finished"
    assert shown["runs"][0]["text"]
    assert QUESTION in nearfar("history", "show", listed[1]["id"]).stdout
    assert nearfar("history", "export", listed[1]["id"]).stdout.startswith("#")
    assert json.loads(nearfar("history", "export", listed[1]["id"], "--json").stdout)["comparisons"]


def test_doctor_tells_what_this_machine_has() -> None:
    done = nearfar("doctor", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report) >= {
        "app",
        "python",
        "llama_cpp",
        "devices",
        "cpu",
        "memory",
        "keyring",
        "network",
        "paths",
        "problems",
    }
    assert report["app"] == APP_VERSION
    assert "CPU" in report["llama_cpp"]["backends"]
    assert report["devices"][-1]["kind"] == "cpu"
    assert report["memory"]["total_bytes"] > report["memory"]["free_bytes"] > 0
    assert report["network"]["connections_since_start"] == 0
    assert all(set(problem) == {"what", "fix"} for problem in report["problems"])
    assert "llama.cpp" in nearfar("doctor").stdout

"""Downloads that did not end, file names that no text can hold, and what errors say to a terminal. Real processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli_models_print import models_as_text
from app.cli_words import typed
from backends.errors import ConnectionLost, NearfarError, Unreachable
from backends.models.errors import DiskFull, FolderMissing, FolderUnusable, HubUnreachable, RepoGated, RepoMissing
from tests.app.models_command import (
    LARGE,
    LARGE_BYTES,
    LIMIT_S,
    PROGRAM,
    REF,
    REPO,
    Terminal,
    env,
    hub_with_models,
    listed,
    nearfar,
    program,
    sentence,
)
from tests.backends.models.library_support import library, model_bytes, tree, write_model
from tests.fakes.hub_server import HubServer

BIG = f"hf:{REPO}/{LARGE}"


@pytest.fixture
def home(_home: Path) -> Path:
    return _home


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    with hub_with_models(tmp_path / "hub") as server:
        yield server


def begun(hub: HubServer) -> subprocess.Popen[str]:
    """A pull of which more than 1 MiB has come."""
    hub.bytes_s = 2_000_000.0
    argv = [sys.executable, *PROGRAM, "models", "pull", BIG, "--accept-licence", "--json"]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env(hub))
    assert child.stdout is not None
    while json.loads(child.stdout.readline()).get("received_bytes", 0) <= 1 << 20:
        pass
    return child


def killed(hub: HubServer) -> None:
    with begun(hub) as child:
        child.kill()
    hub.bytes_s = None


def test_a_download_that_was_killed_is_listed_and_can_be_discarded(hub: HubServer, home: Path) -> None:
    child = begun(hub)
    (left,) = json.loads(nearfar("list", "--json").stdout)["unfinished"]
    assert left["running"]
    assert "being downloaded now" in sentence(nearfar("remove", BIG, "--yes"), 1)
    child.kill()
    child.communicate(timeout=LIMIT_S)
    (left,) = json.loads(nearfar("list", "--json").stdout)["unfinished"]
    total = len(model_bytes()) + LARGE_BYTES
    assert (left["ref"], left["total_bytes"], left["running"]) == (BIG, total, False)
    assert 1 << 20 < left["received_bytes"] < total
    shown = nearfar("list").stdout
    assert BIG in shown
    assert "of 24.1 MiB (" in shown
    assert "nearfar models pull REF" in shown
    assert "nearfar models remove REF" in shown
    assert "No models here yet" not in shown
    assert "--yes" in sentence(nearfar("remove", BIG), 2)
    done = nearfar("remove", BIG.upper().replace("HF:", "hf:"), "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"ref": BIG, "freed_bytes": left["disk_bytes"]}
    assert tree(home / "models") == {}
    assert json.loads(nearfar("list", "--json").stdout)["unfinished"] == []


def test_discarding_asks_on_a_terminal(hub: HubServer) -> None:
    killed(hub)
    for answer, left in (("n\n", 1), ("y\n", 0)):
        asked = Terminal("remove", BIG)
        asked.until("[y/N]")
        assert "frees" in asked.text
        asked.type(answer)
        assert asked.end() == 0
        assert len(json.loads(nearfar("list", "--json").stdout)["unfinished"]) == left


def test_names_of_files_that_are_no_text_can_be_used(home: Path) -> None:
    bad = Path(os.fsdecode(os.fsencode(home / "models") + b"/caf\xe9.gguf"))
    write_model(bad)
    write_model(home / "models" / "good\u202efugg\u2069\x1b.gguf", 1)
    done = nearfar("list", "--json")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)["models"][0]["path"].encode()
    assert "\\udc" not in done.stdout
    assert {model["ref"] for model in listed()} == {"caf\ufffd", "goodfugg"}
    for target in ("local:caf\ufffd", b"local:" + os.fsencode(bad)):
        ran = program("run", "Hello", "--target", target, "--max-tokens", "4", "--json")
        assert ran.returncode == 0, ran.stdout[-800:]
        assert "Traceback" not in ran.stderr
    assert nearfar("remove", "caf\ufffd", "--yes").returncode == 0
    assert not bad.exists()


def test_an_import_gets_a_name_that_can_be_typed(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/na\xefve \xe2\x80\xaename.gguf"))
    brought = library(tmp_path).import_file(write_model(odd))
    assert brought is not None
    assert brought.ref == "na\ufffdve name"


def test_a_run_writes_down_that_a_model_was_used(tmp_path: Path) -> None:
    nearfar("import", str(write_model(tmp_path / "mine.gguf")))
    assert listed()[0]["last_used_at"] is None
    assert program("run", "Hello", "--target", "local:mine", "--max-tokens", "4").returncode == 0
    assert listed()[0]["last_used_at"] is not None


def test_a_long_name_has_a_line_of_its_own(tmp_path: Path) -> None:
    made = library(tmp_path)
    long = "a-model-with-a-name-that-goes-on-and-on" * 3
    write_model(made.folder / f"{long}.gguf")
    shown = models_as_text(made.scan()).splitlines()
    assert shown[0] == long
    assert shown[-1].startswith("1 model; ")
    write_model(made.folder / "short.gguf", 1)
    row = next(line for line in models_as_text(made.scan()).splitlines() if line.startswith("short"))
    assert len(row) < 60


def test_errors_name_no_button_and_only_what_is_kept(hub: HubServer) -> None:
    gone = {"NEARFAR_HUB_URL": "http://127.0.0.1:9"}
    said = sentence(nearfar("pull", REF, "--accept-licence", more=gone), 1)
    assert "press" not in said.lower()
    assert "Nothing was downloaded." in said
    assert "kept" not in said
    killed(hub)
    failed = nearfar("pull", BIG, "--accept-licence", "--json", more=gone)
    error = json.loads(failed.stdout.splitlines()[-1])["error"]
    assert re.fullmatch(r"[\d.]+ MiB of it are kept\.", error["safe"])
    assert error["safe"] in failed.stderr
    assert "run the same command again" in error["fix"]


def test_the_newest_revision_or_any_can_be_pulled(hub: HubServer) -> None:
    name = "Llama-3.2-1B-Instruct-Q4_K_M.gguf"
    write_model(hub.folder / "bartowski" / "Llama-3.2-1B-Instruct-GGUF" / name)
    ref = "llama-3.2-1b:Q4_K_M"
    said = sentence(nearfar("pull", ref, "--accept-licence", "--revision", "0" * 40, hub=hub), 1)
    assert "no such revision" in said
    assert "--revision newest" in said
    assert "not the name of a revision" in sentence(nearfar("pull", ref, "--revision", "../x", hub=hub), 2)
    done = nearfar("pull", ref, "--accept-licence", "--revision", "newest", hub=hub)
    assert done.returncode == 0, done.stderr
    assert [(model["ref"], model["check"]) for model in listed()] == [(ref, "verified")]


@pytest.mark.parametrize(
    "error",
    [
        HubUnreachable("x"),
        DiskFull("x"),
        FolderUnusable("x"),
        RepoGated("x"),
        Unreachable("x"),
        ConnectionLost("x"),
        RepoMissing("x"),
        RepoMissing("x", fix="Check the name and the token; for a gated repo, accept its licence on the hub first."),
        FolderMissing("x"),
    ],
)
def test_no_word_of_the_window_reaches_a_terminal(error: NearfarError) -> None:
    problem = typed(error.problem, kept_bytes=2 << 20)
    assert typed(problem) == problem
    fix = problem.fix
    assert re.search(r"\bpress\b", fix, re.IGNORECASE) is None
    assert "Settings" not in fix or "window's Settings" in fix
    assert "access token" not in fix or "--token-env" in fix


def test_nothing_is_pulled_into_the_bare_mount_point_of_a_lost_disk(hub: HubServer, home: Path) -> None:
    assert nearfar("pull", REF, "--accept-licence", hub=hub).returncode == 0
    (home / "models").rename(home / "away")
    (home / "models").mkdir()
    done = nearfar("list")
    assert (done.returncode, done.stdout) == (1, "")
    assert "its disk seems to be missing" in done.stderr
    asked = len(hub.seen)
    said = sentence(nearfar("pull", REF, hub=hub), 1)
    assert "--make-folder" in said
    assert (tree(home / "models"), len(hub.seen)) == ({}, asked)
    assert any("its disk seems" in each["what"] for each in json.loads(program("doctor", "--json").stdout)["problems"])
    assert nearfar("pull", REF, "--make-folder", hub=hub).returncode == 0
    assert listed()[0]["check"] == "verified"

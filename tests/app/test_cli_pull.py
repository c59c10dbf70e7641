"""`nearfar models pull` as a person or a script meets it: real processes and files, the hub's stand-in on loopback."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.models_command import (
    FILE,
    LARGE,
    LARGE_BYTES,
    LIMIT_S,
    PROGRAM,
    REF,
    REPO,
    Terminal,
    env,
    hub_with_models,
    lines,
    listed,
    nearfar,
    sentence,
)
from tests.backends.models.library_support import model_bytes, sha256, tree, write_model
from tests.fakes.hub_server import HubServer


@pytest.fixture
def home(_home: Path) -> Path:
    return _home


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    with hub_with_models(tmp_path / "hub") as server:
        yield server


def test_pull_tells_its_steps_and_leaves_a_verified_model(hub: HubServer, home: Path) -> None:
    done = nearfar("pull", REF, "--accept-licence", "--json", hub=hub)
    assert done.returncode == 0, done.stderr
    events = lines(done)
    assert [event["event"] for event in events if event["event"] != "progress"] == ["started", "finished"]
    size = len(model_bytes())
    assert events[0] == {
        "event": "started",
        "ref": REF,
        "name": "tiny-Q8_0",
        "quant": "Q8_0",
        "repo": REPO,
        "revision": hub.commit(REPO),
        "licence": "llama3.1",
        "files": [FILE],
        "total_bytes": size,
    }
    model = events[-1]["model"]
    assert (model["check"], model["sha256"], model["size_bytes"]) == ("verified", [sha256(model_bytes())], size)
    assert Path(model["path"]).read_bytes() == model_bytes()
    assert listed() == [model]
    asked = len(hub.seen)
    again = nearfar("pull", REF, hub=hub)
    assert (again.returncode, again.stdout.startswith(f"{REF} is here already")) == (0, True)
    assert len(hub.seen) == asked, "what is here and verified asks nobody"
    assert "llama3.1" in json.loads((home / "config" / "settings.json").read_text())["accepted_licences"]


def test_a_model_in_parts_is_one_pull(hub: HubServer) -> None:
    ref = f"hf:{REPO}/sub/big-00002-of-00002.gguf"
    done = nearfar("pull", ref, "--accept-licence", hub=hub)
    assert done.returncode == 0, done.stderr
    (model,) = listed()
    assert (model["ref"], len(model["files"]), model["check"]) == (
        f"hf:{REPO}/sub/big-00001-of-00002.gguf",
        2,
        "verified",
    )


def test_without_a_terminal_a_licence_must_be_accepted_by_word(hub: HubServer, home: Path) -> None:
    said = sentence(nearfar("pull", REF, hub=hub), 2)
    assert "Llama 3.1" in said
    assert "https://" in said
    assert "Built with Llama" in said
    assert "--accept-licence" in said
    assert hub.served_bytes == 0
    assert tree(home / "models") == {}
    done = nearfar("pull", REF, "--json", hub=hub)
    assert done.returncode == 2
    assert [(event["event"], event["error"]["code"]) for event in lines(done)] == [("failed", "licence_not_accepted")]
    assert nearfar("pull", REF, "--accept-licence", hub=hub).returncode == 0
    other = nearfar("pull", f"hf:{REPO}/{LARGE}", hub=hub)
    assert other.returncode == 0, "one acceptance holds for the licence"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_keeps_what_came_and_the_same_command_goes_on(hub: HubServer, home: Path, number: int) -> None:
    ref = f"hf:{REPO}/{LARGE}"
    hub.bytes_s = 2_000_000.0
    argv = [sys.executable, *PROGRAM, "models", "pull", ref, "--accept-licence", "--json"]
    child = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env(hub), start_new_session=True
    )
    assert child.stdout is not None
    for line in child.stdout:
        if json.loads(line).get("received_bytes", 0) > 1 << 20:
            break
    child.send_signal(number)
    rest, errors = child.communicate(timeout=LIMIT_S)
    assert child.returncode == 130, errors
    last = json.loads(rest.splitlines()[-1])
    assert (last["event"], last["ref"]) == ("cancelled", ref)
    assert last["received_bytes"] > 1 << 20
    assert f"nearfar models pull {ref}" in errors
    assert "Traceback" not in errors
    assert listed() == []
    hub.bytes_s = None
    hub.sent.clear()
    done = nearfar("pull", ref, hub=hub)
    assert done.returncode == 0, done.stderr
    size = len(model_bytes()) + LARGE_BYTES
    assert hub.served_bytes <= size - last["received_bytes"] + (1 << 20)
    assert listed()[0]["check"] == "verified"


def test_two_downloads_of_one_file_do_not_mix(hub: HubServer) -> None:
    ref = f"hf:{REPO}/{LARGE}"
    hub.bytes_s = 2_000_000.0
    argv = [sys.executable, *PROGRAM, "models", "pull", ref, "--accept-licence", "--json"]
    first = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env(hub))
    assert first.stdout is not None
    while json.loads(first.stdout.readline()).get("received_bytes", 0) == 0:
        pass
    said = sentence(nearfar("pull", ref, hub=hub), 1)
    assert "Another Nearfar is downloading this file now" in said
    hub.bytes_s = None
    first.stdout.read()
    assert first.wait(timeout=LIMIT_S) == 0
    first.stdout.close()
    assert listed()[0]["check"] == "verified"


@pytest.mark.parametrize(
    ("ref", "words", "status"),
    [
        ("hf:../x/y.gguf", "repo", 2),
        ("hf:maker/../../etc/passwd.gguf", "repo", 2),
        ("hf:maker/Tiny-GGUF/../../x.gguf", "name of a file", 2),
        ("https://evil.example/maker/Tiny-GGUF/blob/main/x.gguf", "huggingface.co", 2),
        ("llama-3.1-8b", "quant", 2),
        ("llama-3.1-8b:Q9_X", "Q9_X", 2),
        ("no-such-model:Q4_K_M", "no-such-model", 2),
        (f"hf:{REPO}/none.gguf", "no file none.gguf", 1),
        ("hf:maker/none/x.gguf", "maker/none", 1),
        ("llama-3.2-11b-vision:Q4_K_M", "cannot be used", 1),
    ],
)
def test_a_ref_that_is_none_is_a_sentence(hub: HubServer, home: Path, ref: str, words: str, status: int) -> None:
    said = sentence(nearfar("pull", ref, "--accept-licence", hub=hub), status)
    assert words in said
    assert tree(home / "models") == {}


def test_a_file_that_is_another_than_the_catalogue_says_is_refused(hub: HubServer, home: Path) -> None:
    repo = hub.folder / "bartowski" / "Llama-3.2-1B-Instruct-GGUF"
    write_model(repo / "Llama-3.2-1B-Instruct-Q4_K_M.gguf")
    said = sentence(nearfar("pull", "llama-3.2-1b:Q4_K_M", "--accept-licence", hub=hub), 1)
    assert hub.served_bytes == 0
    assert tree(home / "models") == {}
    assert "nearfar:" in said


def test_local_only_contacts_nobody(home: Path, hub: HubServer) -> None:
    (home / "config").mkdir(parents=True)
    (home / "config" / "settings.json").write_text('{"local_only": true}')
    far = {"NEARFAR_HUB_URL": "https://hub.invalid"}
    for action in (("pull", REF), ("add", REPO)):
        said = sentence(nearfar(*action, more=far), 1)
        assert "Local only is switched on" in said
        assert "hub.invalid" in said
    assert nearfar("pull", REF, "--accept-licence", hub=hub).returncode == 0, "this machine is always allowed"


@pytest.mark.parametrize("accepting", [(), ("--accept-licence",)])
def test_local_only_asks_for_no_licence_and_keeps_none(home: Path, accepting: tuple[str, ...]) -> None:
    settings = home / "config" / "settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"local_only": true}')
    far = {"NEARFAR_HUB_URL": "https://hub.invalid"}
    said = sentence(nearfar("pull", "llama-3.1-8b:Q4_K_M", *accepting, more=far), 1)
    assert "Local only is switched on" in said
    assert json.loads(settings.read_text()).get("accepted_licences", []) == []


def test_a_gated_repo_takes_a_token_from_a_variable_that_is_named(hub: HubServer) -> None:
    hub.gated.add(REPO)
    said = sentence(nearfar("pull", REF, "--accept-licence", hub=hub), 1)
    assert "--token-env" in said
    for wrong in ("hf_secret=", "not a name"):
        assert "hf_secret" not in sentence(nearfar("pull", REF, "--token-env", wrong, hub=hub), 2)
    assert "not set" in sentence(nearfar("pull", REF, "--token-env", "HF_NOT_SET", hub=hub), 2)
    done = nearfar("pull", REF, "--accept-licence", "--token-env", "MY_TOKEN", hub=hub, more={"MY_TOKEN": hub.token})
    assert done.returncode == 0, done.stderr
    assert not any("authorization" in seen.headers for seen in hub.cdn_seen)
    assert hub.token not in done.stdout + done.stderr


def test_on_a_terminal_the_licence_is_asked_and_progress_is_one_line(hub: HubServer, home: Path) -> None:
    refused = Terminal("pull", REF, hub=hub)
    refused.until("[y/N]")
    assert "Built with Llama" in refused.text
    refused.type("n\n")
    assert refused.end() == 1
    assert tree(home / "models") == {}
    hub.bytes_s = 8_000_000.0
    agreed = Terminal("pull", f"hf:{REPO}/{LARGE}", "--limit", "50", hub=hub)
    agreed.until("[y/N]")
    agreed.type("y\n")
    agreed.until("MiB of")
    assert agreed.end() == 0
    assert "\r\x1b[K" in agreed.text
    assert "is here and verified" in agreed.text


def test_ctrl_c_at_a_question_ends_it(hub: HubServer, home: Path) -> None:
    asked = Terminal("pull", REF, hub=hub)
    asked.until("[y/N]")
    asked.child.send_signal(signal.SIGINT)
    assert asked.end() == 130
    assert "Traceback" not in asked.text
    assert tree(home / "models") == {}

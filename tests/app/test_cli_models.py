"""`nearfar models` but for pull, as a person or a script meets it: real processes and files, the hub's stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.models_command import LARGE, REF, REPO, Terminal, hub_with_models, listed, nearfar, sentence
from tests.backends.models.library_support import model_bytes, sha256, tree, write_model
from tests.fakes.hub_server import HubServer


@pytest.fixture
def home(_home: Path) -> Path:
    return _home


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    with hub_with_models(tmp_path / "hub") as server:
        yield server


def test_an_empty_list_says_what_to_do() -> None:
    done = nearfar("list")
    assert (done.returncode, done.stderr) == (0, "")
    assert "nearfar fit" in done.stdout
    assert listed() == []


def test_a_models_folder_that_cannot_be_used_is_a_sentence(hub: HubServer, home: Path) -> None:
    home.mkdir()
    (home / "models").write_text("a file")
    assert "models" in sentence(nearfar("pull", REF, "--accept-licence", hub=hub), 1)
    done = nearfar("list")
    assert (done.returncode, done.stdout) == (1, ""), "nothing is said of what could not be looked at"
    assert "Not a directory" in done.stderr
    (home / "models").unlink()
    assert nearfar("pull", REF, hub=hub).returncode == 0
    (home / "models").rename(home / "away")
    done = nearfar("list", "--json")
    assert "gone" in json.loads(done.stdout)["problem"]
    (home / "away").rename(home / "models")
    assert listed()[0]["check"] == "verified"


def test_a_path_in_the_home_of_nobody_is_a_sentence(home: Path) -> None:
    assert "a user that is not known" in sentence(nearfar("import", "~nosuchuser/x.gguf"), 2)
    (home / "config").mkdir(parents=True)
    (home / "config" / "settings.json").write_text(json.dumps({"models_folder": "~nosuchuser/models"}))
    done = nearfar("list")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert "a user that is not known" in done.stderr


def test_add_lists_a_repo_and_remembers_it(hub: HubServer, home: Path) -> None:
    done = nearfar("add", REPO, "--json", hub=hub)
    assert done.returncode == 0, done.stderr
    listing = json.loads(done.stdout)
    assert {model["ref"] for model in listing["models"]} == {
        REF,
        f"hf:{REPO}/{LARGE}",
        f"hf:{REPO}/sub/big-00001-of-00002.gguf",
    }
    assert listing["models"][0]["files"][0]["sha256"]
    assert json.loads((home / "config" / "settings.json").read_text())["added_repos"] == [REPO]
    assert REF in nearfar("add", REPO, hub=hub).stdout
    assert "OWNER/REPO" in sentence(nearfar("add", "../x", hub=hub), 2)


@pytest.mark.parametrize("copy", [(), ("--copy",)])
def test_import_verify_and_remove(tmp_path: Path, home: Path, copy: tuple[str, ...]) -> None:
    mine = write_model(tmp_path / "my model.gguf", 2)
    done = nearfar("import", str(mine), *copy, "--json")
    assert done.returncode == 0, done.stderr
    model = json.loads(done.stdout)["model"]
    assert (model["ref"], model["origin"], model["quant"]) == ("my model", "imported", "Q8_0")
    done = nearfar("verify", "my model")
    assert (done.returncode, sha256(model_bytes(2)) in done.stdout) == (0, True)
    frees = "0 bytes" if not copy else "KiB"
    said = sentence(nearfar("remove", "my model"), 2)
    assert "--yes" in said
    assert frees in said
    done = nearfar("remove", "my model", "--yes", "--json")
    assert json.loads(done.stdout) == {"ref": "my model", "freed_bytes": len(model_bytes()) if copy else 0}
    assert mine.read_bytes() == model_bytes(2)
    assert listed() == []
    assert "no installed model" in sentence(nearfar("remove", "my model", "--yes"), 1)


def test_import_refuses_what_is_no_model(tmp_path: Path) -> None:
    page = tmp_path / "renamed.gguf"
    page.write_bytes(b"<html>")
    assert "web page" in sentence(nearfar("import", str(page)), 1)
    assert "a folder" in sentence(nearfar("import", str(tmp_path)), 1)
    assert "no file" in sentence(nearfar("import", str(tmp_path / "none.gguf"), "--json"), 1)


def test_verify_finds_a_file_that_changed(hub: HubServer) -> None:
    assert nearfar("pull", REF, "--accept-licence", hub=hub).returncode == 0
    path = Path(listed()[0]["path"])
    path.write_bytes(model_bytes(1))
    assert listed()[0]["check"] == "changed"
    said = sentence(nearfar("verify", REF), 1)
    assert "not the file it should be" in said
    done = nearfar("verify", REF, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["model"]["check"], told["error"]["code"]) == (1, "changed", "file_mismatch")
    done = nearfar("pull", REF, hub=hub)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == model_bytes(), "pulling it again repairs it"
    done = nearfar("verify", REF, "--json")
    assert json.loads(done.stdout)["model"]["check"] == "verified"


def test_models_of_other_programs_only_when_asked(tmp_path: Path) -> None:
    person = tmp_path / "person"
    write_model(person / ".lmstudio" / "models" / "maker" / "repo" / "studio.gguf", 3)
    here = {"HOME": str(person), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": ""}
    assert listed(here) == []
    done = nearfar("list", "--found", more=here)
    assert done.returncode == 0, done.stderr
    assert "lm-studio:studio" in done.stdout
    assert "LM Studio" in done.stdout
    (model,) = listed(here)
    assert (model["ref"], model["origin"], model["check"]) == ("lm-studio:studio", "lm_studio", "unverified")
    before = tree(person)
    done = nearfar("remove", "lm-studio:studio", "--yes", more=here)
    assert (done.returncode, "removed" in done.stdout, "taken off the list" in done.stdout) == (0, False, True)
    assert tree(person) == before


@pytest.mark.parametrize(
    "arguments",
    [(), ("sing",), ("pull",), ("pull", REF, "--limit", "0"), ("pull", REF, "--limit", "fast"), ("remove",), ("add",)],
)
def test_bad_usage_is_one_sentence_and_exit_2(arguments: tuple[str, ...]) -> None:
    done = nearfar(*arguments)
    sentence(done, 2)
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_remove_asks_on_a_terminal(tmp_path: Path) -> None:
    nearfar("import", str(write_model(tmp_path / "mine.gguf")), "--copy")
    for answer, left in (("\n", 1), ("yes\n", 0)):
        asked = Terminal("remove", "mine")
        asked.until("[y/N]")
        assert "frees" in asked.text
        asked.type(answer)
        assert asked.end() == 0
        assert len(listed()) == left


def test_add_takes_a_slash_at_the_end(hub: HubServer) -> None:
    assert REF in nearfar("add", f"{REPO}/", hub=hub).stdout

"""Models of other programs: found where each keeps them on each system, used where they lie, never touched."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path, PureWindowsPath

import pytest

from backends.models import foreign
from backends.models.folder import Bounds, gguf_files
from backends.models.foreign import find_foreign
from backends.models.foreign_places import Machine, gpt4all_folders
from backends.models.index import FoundModel
from tests.backends.models.library_support import REPO, library, model_bytes, sha256, tree, write_model, write_parts

SYSTEMS = ("linux", "darwin", "win32")


def machine(tmp_path: Path, platform: str = "linux", **environ: str) -> Machine:
    return Machine(tmp_path / "home", environ, platform, tmp_path / "root")


def names(found: tuple[FoundModel, ...]) -> dict[str, str]:
    return {model.name: model.origin for model in found}


def data_folder(home: Path, platform: str, *, local: bool = False) -> Path:
    match platform:
        case "darwin":
            return home / "Library" / "Application Support"
        case "win32":
            return home / "AppData" / ("Local" if local else "Roaming")
        case _:
            return home / ".local" / "share"


def ollama(models: Path, name: str, content: bytes, *, media: str = foreign.OLLAMA_MODEL) -> Path:
    digest = sha256(content)
    blob = models / "blobs" / f"sha256-{digest}"
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    manifest = models / "manifests" / name
    manifest.parent.mkdir(parents=True, exist_ok=True)
    layers = [
        {"mediaType": "application/vnd.ollama.image.license", "digest": f"sha256:{'1' * 64}", "size": 1},
        {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)},
    ]
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    return blob


def hub_file(hub: Path, repo: str, name: str, content: bytes, revision: str = "a" * 40, *, links: bool = True) -> Path:
    base = hub / f"models--{repo.replace('/', '--')}"
    path = base / "snapshots" / revision / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not links:
        path.write_bytes(content)
        return path
    blob = base / "blobs" / sha256(content)
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    path.symlink_to(os.path.relpath(blob, path.parent))
    return path


@pytest.mark.parametrize("platform", SYSTEMS)
def test_each_program_is_found_on_each_system(tmp_path: Path, platform: str) -> None:
    home = tmp_path / "home"
    data, local = data_folder(home, platform), data_folder(home, platform, local=True)
    write_model(home / ".lmstudio" / "models" / "maker" / "repo" / "studio-Q4.gguf", 0)
    write_model(home / ".cache" / "lm-studio" / "models" / "maker" / "repo" / "old-studio.gguf", 1)
    write_model(data / "Jan" / "data" / "llamacpp" / "models" / "maker" / "jan-1b" / "model.gguf", 2)
    write_model(home / "jan" / "models" / "old-jan" / "old-jan.gguf", 3)
    write_model(local / "nomic.ai" / "GPT4All" / "gpt4all.Q4_0.gguf", 4)
    hub_file(home / ".cache" / "huggingface" / "hub", REPO, "cached.gguf", model_bytes(5), links=platform != "win32")
    ollama(home / ".ollama" / "models", "registry.ollama.ai/library/llama3.2/1b", model_bytes(6))
    ollama(tmp_path / "root/usr/share/ollama/.ollama/models", "registry.ollama.ai/me/mine/latest", model_bytes(7))
    search = find_foreign(machine(tmp_path, platform))
    wanted = {
        "studio-Q4": "lm_studio",
        "old-studio": "lm_studio",
        "jan-1b": "jan",
        "old-jan": "jan",
        "gpt4all.Q4_0": "gpt4all",
        "cached": "hugging_face",
        "llama3.2:1b": "ollama",
    }
    assert search.complete
    assert names(search.models) == wanted | ({"me/mine:latest": "ollama"} if platform == "linux" else {})


def test_folders_that_a_program_was_told_of(tmp_path: Path) -> None:
    home, far = tmp_path / "home", tmp_path / "far"
    home.mkdir()
    (home / ".lmstudio-home-pointer").write_text(f"{far / 'studio'}\n")
    (far / "studio").mkdir(parents=True)
    (far / "studio" / "settings.json").write_text(json.dumps({"downloadsFolder": str(far / "downloads")}))
    write_model(far / "downloads" / "maker" / "repo" / "moved-studio.gguf", 0)
    jan = home / ".local" / "share" / "Jan"
    jan.mkdir(parents=True)
    (jan / "settings.json").write_text(json.dumps({"data_folder": str(far / "jan")}))
    write_model(far / "jan" / "llamacpp" / "models" / "moved-jan" / "model.gguf", 1)
    card = far / "jan" / "llamacpp" / "models" / "linked" / "model.yml"
    card.parent.mkdir()
    card.write_text(f'name: linked\nmodel_path: "{write_model(far / "desk" / "linked-jan.gguf", 2)}"\nsize_bytes: 5\n')
    ini = home / ".config" / "nomic.ai" / "GPT4All.ini"
    ini.parent.mkdir(parents=True)
    ini.write_text(f"[General]\nmodelPath={far / 'gpt 4 all'}/\nother=1\n")
    write_model(far / "gpt 4 all" / "moved-gpt4all.gguf", 3)
    write_model(far / "gpt 4 all" / "incomplete-half.gguf", 4)
    hub_file(far / "hf" / "hub", REPO, "moved-hub.gguf", model_bytes(5))
    ollama(far / "ollama", "registry.ollama.ai/library/moved/latest", model_bytes(6))
    here = machine(tmp_path, HF_HOME=str(far / "hf"), OLLAMA_MODELS=str(far / "ollama"))
    assert names(find_foreign(here).models) == {
        "moved-studio": "lm_studio",
        "moved-jan": "jan",
        "linked-jan": "jan",
        "moved-gpt4all": "gpt4all",
        "moved-hub": "hugging_face",
        "moved:latest": "ollama",
    }


@pytest.mark.parametrize(
    ("line", "folder"),
    [
        ("modelPath=D:/models/", "D:/models/"),
        (r'modelPath="C:\\Users\\me\\my, models"', r"C:\Users\me\my, models"),
        (r"modelPath=/home/j\xf6rg/x", "/home/jörg/x"),
    ],
)
def test_qt_writes_paths_its_own_way(tmp_path: Path, line: str, folder: str) -> None:
    here = machine(tmp_path, "win32")
    ini = here.data / "nomic.ai" / "GPT4All.ini"
    ini.parent.mkdir(parents=True)
    ini.write_text(f"[General]\n{line}\n", encoding="utf-8")
    assert PureWindowsPath(str(gpt4all_folders(here)[0]).removeprefix(f"{here.home}/")) == PureWindowsPath(folder)


def test_they_are_listed_used_and_verified_where_they_lie_and_never_touched(tmp_path: Path) -> None:
    home = tmp_path / "home"
    hub = home / ".cache" / "huggingface" / "hub"
    hub_file(hub, REPO, "tiny-Q8_0.gguf", model_bytes())
    blob = ollama(home / ".ollama" / "models", "registry.ollama.ai/library/llama3.2/1b", model_bytes(1))
    before = tree(home)
    made = library(tmp_path)
    found = made.remember_found(find_foreign(machine(tmp_path)).models)
    assert {(model.ref, model.check, model.model_id) for model in found} == {
        ("hf-cache:tiny-Q8_0", "unverified", "tiny-1b"),
        ("ollama:llama3.2:1b", "unverified", None),
    }
    again = library(tmp_path)
    assert {model.ref for model in again.scan()} == {model.ref for model in found}, "remembered for later commands"
    model = again.find("ollama:llama3.2:1b")
    assert (model.path, model.in_place, model.quant) == (blob, True, "Q8_0")
    for each in found:
        verified = again.verify(each.ref)
        assert verified is not None
        assert verified.check == "verified"
        assert again.what_remove_frees(each.ref) == 0 == again.remove(each.ref)
    assert again.models() == ()
    assert tree(home) == before
    assert not again.folder.exists()


def test_one_file_under_several_names_is_one_model(tmp_path: Path) -> None:
    hub = tmp_path / "home" / ".cache" / "huggingface" / "hub"
    hub_file(hub, REPO, "same.gguf", model_bytes(), "a" * 40)
    hub_file_two = hub / f"models--{REPO.replace('/', '--')}" / "snapshots" / ("b" * 40) / "same.gguf"
    hub_file_two.parent.mkdir()
    hub_file_two.symlink_to(f"../../blobs/{sha256(model_bytes())}")
    assert len(find_foreign(machine(tmp_path)).models) == 1
    made = library(tmp_path)
    made.import_file(hub_file_two, "use in place")
    found = made.remember_found(find_foreign(machine(tmp_path)).models)
    assert found == ()
    assert [model.ref for model in made.models()] == ["same"]


def test_parts_are_one_model_and_what_answers_no_prompt_is_left_out(tmp_path: Path) -> None:
    studio = tmp_path / "home" / ".lmstudio" / "models" / "maker" / "repo"
    parts = write_parts(studio)
    (studio / "mmproj-model-f16.gguf").write_bytes(model_bytes(1))
    (studio / "page.gguf").write_bytes(b"<html>")
    (studio / "empty.gguf").touch()
    (studio / "half.gguf").write_bytes(model_bytes(2)[:5000])
    made = library(tmp_path)
    (model,) = made.remember_found(find_foreign(machine(tmp_path)).models)
    assert (model.ref, model.path, model.files) == ("lm-studio:big", parts[0], tuple(parts))


@pytest.mark.parametrize(
    "manifest",
    [
        {"layers": None},
        {"layers": [{"mediaType": foreign.OLLAMA_MODEL, "digest": "sha256:x/../../outside.gguf"}]},
        {"layers": [{"mediaType": foreign.OLLAMA_MODEL, "digest": f"sha256:{'A' * 64}"}]},
        {"layers": [{"mediaType": foreign.OLLAMA_MODEL, "digest": 5}, "x", None]},
        {"layers": [{"mediaType": foreign.OLLAMA_MODEL, "digest": f"sha256:{'0' * 64}"}]},
        [],
        "x",
        5,
    ],
)
def test_a_manifest_leads_nowhere_else(tmp_path: Path, manifest: object) -> None:
    models = tmp_path / "home" / ".ollama" / "models"
    place = models / "manifests" / "registry.ollama.ai" / "library" / "x"
    place.mkdir(parents=True)
    (models / "blobs" / "sha256-x").mkdir(parents=True)
    write_model(models / "outside.gguf")
    (place / "latest").write_text(json.dumps(manifest))
    (place / "cut").write_text('{"layers": [')
    (place / "deep").write_text("[" * 100_000)
    (place / "huge").write_bytes(b" " * (2 << 20))
    (place / "folder").mkdir()
    assert find_foreign(machine(tmp_path)).models == ()


def test_loops_closed_folders_and_odd_settings_stop_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    studio = home / ".lmstudio" / "models"
    write_model(studio / "maker" / "repo" / "found.gguf")
    (studio / "maker" / "round").symlink_to(studio)
    (studio / "self").symlink_to("self")
    os.mkfifo(studio / "pipe.gguf")
    (home / ".lmstudio" / "settings.json").write_text('{"downloadsFolder": "\\u0000"}')
    (home / ".lmstudio-home-pointer").mkdir()
    jan = home / ".local" / "share" / "Jan"
    jan.mkdir(parents=True)
    (jan / "settings.json").write_text('{"data_folder": "./data"}')
    os.mkfifo(home / ".cache") if not (home / ".cache").exists() else None
    search = find_foreign(machine(tmp_path))
    assert (names(search.models), search.complete) == ({"found": "lm_studio"}, True)


def test_a_folder_is_walked_once_however_many_links_lead_to_it(tmp_path: Path) -> None:
    write_model(tmp_path / "a" / "one.gguf")
    for name in "xyz":
        (tmp_path / "a" / name).symlink_to(tmp_path)
    assert [path.name for path in gguf_files(tmp_path, follow=True)] == ["one.gguf"]


def test_a_search_is_bounded_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = tmp_path / "home" / ".lmstudio" / "models" / "maker" / "repo"
    for number in range(5):
        write_model(studio / f"m{number}.gguf", number)
    deep = studio.joinpath(*"abcdefgh")
    write_model(deep / "deep.gguf", 9)
    assert len(find_foreign(machine(tmp_path)).models) == 5
    with monkeypatch.context() as patch:
        patch.setattr(foreign, "MAX_MODELS", 3)
        search = find_foreign(machine(tmp_path))
        assert (len(search.models), search.complete) == (3, False)
    with monkeypatch.context() as patch:
        patch.setattr(foreign, "BOUNDS", Bounds(entries=5))
        search = find_foreign(machine(tmp_path))
        assert (len(search.models), search.complete) == (2, False)
    search = find_foreign(machine(tmp_path), cancelled=lambda: True)
    assert (search.models, search.complete) == ((), False)
    monkeypatch.setattr(foreign, "SEARCH_S", -1.0)
    began = time.monotonic()
    assert not find_foreign(machine(tmp_path)).complete
    assert time.monotonic() - began < 30


def test_what_is_gone_since_is_not_listed(tmp_path: Path) -> None:
    made = library(tmp_path)
    path = write_model(tmp_path / "theirs" / "x.gguf")
    made.remember_found([FoundModel("jan", "x", (path,))])
    assert [model.ref for model in made.models()] == ["jan:x"]
    path.unlink()
    assert made.scan() == ()
    path.write_bytes(model_bytes())
    assert [model.ref for model in made.scan()] == ["jan:x"]

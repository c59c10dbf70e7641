"""The one door to models: lazy, policy first, licence first; targets resolve. Real library, the hub's stand-in."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from backends.errors import ModelMissing, NetworkNotAllowed, SettingsNotSaved, UsageError
from backends.models.errors import BadReference, InUse, LicenceNotAccepted, NotRunnable, RepoMissing
from backends.models.manager import Models
from backends.models.records import DownloadPlan, InstalledModel, RemoteFile
from backends.settings import Settings, SettingsFile
from tests.backends.models.library_support import model_bytes, sha256, tree, write_model, write_parts
from tests.backends.models.manager_bench import FILE, REF, REPO, Bench
from tests.fakes.hub_server import HubServer
from tests.heavy import HEAVY


async def _half(bench: Bench, hub: HubServer) -> str:
    """A download that was paused in the middle; its ref."""
    large = model_bytes() + bytes(2_000_000 - len(model_bytes()))
    (hub.folder / REPO / "large-Q8_0.gguf").write_bytes(large)
    hub.bytes_s = 500_000
    plan = await bench.models.plan_for(f"hf:{REPO}/large-Q8_0.gguf")
    await bench.models.permissions.accept(plan)
    bench.models.start(plan)
    async with asyncio.timeout(30):
        while bench.models.downloads.snapshot()[0].received_bytes < 500_000:  # noqa: ASYNC110 - threads write it
            await asyncio.sleep(0.01)
    await bench.models.downloads.pause(plan.ref)
    hub.bytes_s = None
    hub.sent.clear()
    return plan.ref


async def test_a_paused_download_goes_on_where_it_was_begun(bench: Bench, hub: HubServer, tmp_path: Path) -> None:
    """Only new downloads go to a folder that was chosen meanwhile; what ends in the old one is listed from there."""
    ref = await _half(bench, hub)
    old = bench.models.folder
    bench.change(models_folder=str(tmp_path / "new"))
    (tmp_path / "new").mkdir()
    bench.models.resume(ref)
    ended = await bench.models.downloads.wait(ref)
    assert (ended.state, ended.problem) == ("done", None)
    assert hub.served_bytes < 1_600_000
    path = old / "maker--Tiny-GGUF" / "large-Q8_0.gguf"
    assert path.stat().st_size == 2_000_000
    assert list((old / ".incomplete").iterdir()) == []
    (model,) = await bench.models.installed()
    assert (model.path, model.in_place, model.check) == (path, True, "unverified")
    assert model.sha256 == (sha256(path.read_bytes()),)


async def test_discarding_after_another_folder_was_chosen_frees_the_old_one(
    bench: Bench, hub: HubServer, tmp_path: Path
) -> None:
    ref = await _half(bench, hub)
    old = bench.models.folder
    bench.change(models_folder=str(tmp_path / "new"))
    await bench.models.downloads.cancel(ref, discard=True)
    assert tree(old) == {}


async def test_a_paused_download_moves_with_the_folder(bench: Bench, hub: HubServer, tmp_path: Path) -> None:
    ref = await _half(bench, hub)
    await bench.models.installed()
    assert await bench.models.move_folder(tmp_path / "new")
    bench.models.resume(ref)
    ended = await bench.models.downloads.wait(ref)
    assert (ended.state, ended.problem) == ("done", None)
    assert hub.served_bytes < 1_600_000
    assert bench.models.library.find(ref).path == tmp_path / "new" / "maker--Tiny-GGUF" / "large-Q8_0.gguf"


def test_it_costs_nothing_until_it_is_used() -> None:
    program = """
import sys
from backends.models.hub import KEY_NAME
from backends.models.manager import Models
print(sorted(name for name in sys.modules if "." not in name))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(eval(done.stdout))


async def test_making_it_touches_no_disk(bench: Bench, tmp_path: Path) -> None:
    assert bench.models.folder == bench.paths.models
    await bench.models.close()
    assert tree(tmp_path) == {}


async def test_a_download_becomes_a_model_that_a_target_names(bench: Bench, hub: HubServer) -> None:
    told: list[tuple[InstalledModel, ...]] = []
    bench.models.on_installed = told.append
    plan = await bench.models.plan_for(REF)
    assert (plan.ref, plan.revision, plan.licence_tag) == (REF, hub.commit(REPO), "llama3.1")
    with pytest.raises(LicenceNotAccepted, match=r"Llama 3.1"):
        bench.models.start(plan)
    assert await bench.models.permissions.accept(plan) is None
    bench.models.start(plan)
    ended = await bench.models.downloads.wait(REF)
    assert (ended.state, ended.problem) == ("done", None)
    found = bench.models.resolve(REF)
    assert isinstance(found, InstalledModel)
    assert (found.check, found.path.read_bytes()) == ("verified", model_bytes())
    assert [model.ref for model in told[-1]] == [REF]
    assert SettingsFile(bench.paths.settings_file).load().settings.accepted_licences == ("llama3.1",)
    assert bench.models.permissions.is_accepted(plan)


async def test_a_part_of_a_split_model_means_all_of_it(bench: Bench, hub: HubServer) -> None:
    plan = await bench.models.plan_for(f"hf:{REPO}/sub/big-00002-of-00002.gguf")
    assert [file.path for file in plan.files] == [f"sub/big-0000{number}-of-00002.gguf" for number in (1, 2)]
    (hub.folder / REPO / "sub" / "big-00001-of-00002.gguf").unlink()
    with pytest.raises(RepoMissing, match="lacks 1 parts"):
        await bench.models.plan_for(f"hf:{REPO}/sub/big-00002-of-00002.gguf")
    with pytest.raises(RepoMissing, match="no file other"):
        await bench.models.plan_for(f"hf:{REPO}/other.gguf")


async def test_catalogue_models_need_no_network_to_be_planned(bench: Bench) -> None:
    plan = await bench.models.plan_for("LLAMA-3.1-8b:q4_k_m")
    assert (plan.ref, plan.files[0].size_bytes) == ("llama-3.1-8b:Q4_K_M", 4_920_739_232)
    assert plan.files[0].sha256 is not None
    with pytest.raises(NotRunnable):
        await bench.models.plan_for("llama-3.2-11b-vision:Q4_K_M")
    for ref in ("llama-3.1-8b", "nothing:Q4_K_M", "hf:../x/y.gguf", "https://example.org/a/b"):
        with pytest.raises(BadReference):
            await bench.models.plan_for(ref)
    assert bench.egress.log() == ()


@pytest.mark.parametrize("chosen", [True, None, False])
async def test_asking_for_the_hub_is_the_choice_unless_local_only_is_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, chosen: bool | None
) -> None:
    monkeypatch.setenv("NEARFAR_HUB_URL", "https://hub.invalid")
    bench.change(local_only=chosen)
    plan = DownloadPlan(REF, "tiny", "Q8_0", REPO, None, (RemoteFile(FILE),), "llama3.1")
    bench.change(accepted_licences=("llama3.1",))
    if chosen:
        for refused in (bench.models.permissions.consent, lambda: bench.models.start(plan)):
            with pytest.raises(NetworkNotAllowed, match=r"Local only is switched on, so hub.invalid"):
                refused()
        assert bench.egress.policy.local_only
        return
    assert bench.egress.policy.local_only
    bench.models.permissions.consent()
    assert not bench.egress.policy.local_only
    assert bench.egress.policy.allows("hub.invalid", "model download")
    assert not bench.egress.policy.allows("example.org", "model download")
    assert not bench.egress.policy.allows("hub.invalid", "answers")


async def test_local_only_that_is_switched_on_meanwhile_stays_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The window switches it on in its own thread, while the engine loop is in the middle of `consent`."""
    monkeypatch.setenv("NEARFAR_HUB_URL", "https://hub.invalid")

    def switch_on() -> None:
        bench.change(local_only=True)
        bench.egress.set_local_only(True)

    window = threading.Thread(target=switch_on)

    def read_then_switched() -> Settings:
        read = bench.settings
        if window.ident is None:
            window.start()
            window.join(0.2)
        return read

    models = Models(
        bench.paths,
        settings=read_then_switched,
        change=bench.change,
        save=bench.save,
        egress=bench.egress,
        keys=bench.keys,
    )
    models.permissions.consent()
    window.join()
    assert bench.egress.policy.local_only
    with pytest.raises(NetworkNotAllowed):
        models.permissions.consent()
    await models.close()


async def test_licences_of_other_repos_are_accepted_one_by_one(bench: Bench) -> None:
    one, two = (DownloadPlan("hf:x", "x", "", repo, None, (RemoteFile("x.gguf"),), "mit") for repo in ("a/b", "c/d"))
    await bench.models.permissions.accept(one)
    assert (bench.models.permissions.is_accepted(one), bench.models.permissions.is_accepted(two)) == (True, False)
    long = DownloadPlan("hf:x", "x", "", f"{'o' * 96}/{'r' * 96}", None, (RemoteFile("x.gguf"),), None)
    await bench.models.permissions.accept(long)
    assert bench.models.permissions.is_accepted(long)
    assert bench.file.load().warnings == ()


async def test_what_a_target_can_name(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_model(bench.models.folder / "imported" / "mine.gguf")
    found = bench.models.resolve("mine")
    assert isinstance(found, InstalledModel)
    assert found.path == path
    assert bench.models.resolve("/some/file.gguf") == Path("/some/file.gguf")
    assert bench.models.resolve("here.gguf") == tmp_path / "here.gguf"
    assert bench.models.resolve("sub/here.gguf") == tmp_path / "sub" / "here.gguf"
    with pytest.raises(ModelMissing, match="closest: mine"):
        bench.models.resolve("mune")
    with pytest.raises(ModelMissing, match=r"nearfar models pull llama-3\.1-8b:Q4_K_M"):
        bench.models.resolve("llama-3.1-8b:Q4_K_M")
    with pytest.raises(ModelMissing, match="no installed model"):
        bench.models.resolve("hf:some/repo/x.gguf")
    parts = write_parts(bench.models.folder / "imported")
    parts[1].unlink()
    with pytest.raises(ModelMissing, match=r"big-00002-of-00003.gguf is not where it was"):
        bench.models.resolve("big")


async def test_a_folder_that_is_gone_is_the_reason_that_is_given(bench: Bench) -> None:
    write_model(bench.models.folder / "imported" / "mine.gguf")
    await bench.models.installed()
    bench.models.folder.rename(bench.paths.data / "away")
    with pytest.raises(ModelMissing, match="is gone"):
        bench.models.resolve("other")


async def test_moving_switches_the_settings_on_disk(bench: Bench, tmp_path: Path) -> None:
    write_model(bench.models.folder / "imported" / "mine.gguf")
    old, new = bench.models.folder, tmp_path / "new"
    bench.refuses_to_save = True
    with pytest.raises(SettingsNotSaved):
        await bench.models.move_folder(new)
    assert (bench.models.folder, list(tree(old))) == (old, ["imported/mine.gguf"])
    bench.refuses_to_save = False
    bench.loaded.add("mine")
    with pytest.raises(InUse):
        await bench.models.move_folder(new)
    bench.loaded.clear()
    assert await bench.models.move_folder(new)
    assert SettingsFile(bench.paths.settings_file).load().settings.models_folder == str(new)
    assert list(tree(new)) == ["imported/mine.gguf"]
    found = bench.models.resolve("mine")
    assert isinstance(found, InstalledModel)
    assert found.path.is_relative_to(new)


async def test_a_folder_chosen_in_the_settings_is_looked_at(bench: Bench, tmp_path: Path) -> None:
    assert await bench.models.installed() == ()
    write_model(tmp_path / "other" / "x.gguf")
    bench.change(models_folder=str(tmp_path / "other"))
    assert [model.ref for model in await bench.models.installed()] == ["x"]


async def test_a_repo_is_remembered_once(bench: Bench, hub: HubServer) -> None:
    for name in (REPO, f"hf:{REPO}", f"https://huggingface.co/{REPO}"):
        listing = await bench.models.add_repo(name)
        assert listing.repo == REPO
    assert bench.settings.added_repos == (REPO,)
    with pytest.raises(UsageError):
        await bench.models.add_repo("https://example.org/a/b")
    assert isinstance(bench.settings, Settings)


async def test_a_model_whose_download_is_in_the_queue_is_not_removed(bench: Bench, hub: HubServer) -> None:
    """A split model that lacks a part, while the part is fetched: under the name it is listed by, or another."""
    parts = write_parts(bench.models.folder / REPO.replace("/", "--") / "sub", "big", 2)
    parts[1].unlink()
    (model,) = await bench.models.installed()
    assert model.check == "missing"
    plan = replace(await bench.models.plan_for(f"hf:{REPO}/sub/big-00001-of-00002.gguf"), ref="another:name")
    await bench.models.permissions.accept(plan)
    bench.models.start(plan)
    with pytest.raises(InUse, match="among the downloads"):
        await bench.models.remove(model.ref)
    assert parts[0].exists()
    await bench.models.downloads.pause(plan.ref)
    with pytest.raises(InUse, match="among the downloads"):
        await bench.models.remove(model.ref)
    await bench.models.downloads.cancel(plan.ref)
    await bench.models.remove(model.ref)
    assert not parts[0].exists()

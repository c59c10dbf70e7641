"""Which models are loaded and which are refused, and where the token for the hub comes from. Real library and hub."""

from __future__ import annotations

import pytest

from backends.errors import ModelUnusable
from backends.key_holders import HUB
from backends.keyring_store import KeyringStore
from backends.keys import Secret
from backends.models.errors import FileMismatch
from backends.models.hub import KEY_NAME
from backends.models.records import DownloadPlan, InstalledModel, RemoteFile
from tests.backends.models.library_support import model_bytes, sha256, write_model, write_parts
from tests.backends.models.manager_bench import FILE, REF, REPO, Bench
from tests.fakes.hub_server import HubServer


def _tiny() -> DownloadPlan:
    return DownloadPlan(REF, "tiny", "Q8_0", REPO, None, (RemoteFile(FILE),), "llama3.1")


async def test_a_model_that_failed_its_verification_is_not_loaded(bench: Bench) -> None:
    """Nor one that changed since; verifying it again, or getting it again, opens the way."""
    good, seven = model_bytes(), model_bytes(7)
    path = write_model(bench.models.folder / "maker--Tiny-GGUF" / FILE)
    bench.models.library.add_downloaded(_tiny(), (path,), (sha256(good),))
    assert bench.models.resolve(REF) == bench.models.library.find(REF)
    path.write_bytes(seven)
    await bench.models.installed()
    with pytest.raises(ModelUnusable, match="changed since it was verified") as changed:
        bench.models.resolve(REF)
    assert changed.value.problem.safe == "Nothing was loaded and your prompt is kept."
    assert f"`nearfar models verify {REF}`" in changed.value.problem.fix
    with pytest.raises(FileMismatch):
        await bench.models.verify(REF)
    with pytest.raises(ModelUnusable, match="did not pass its verification") as failed:
        bench.models.resolve(REF)
    assert "Remove it, then download or import it again" in failed.value.problem.fix
    path.write_bytes(good)
    await bench.models.verify(REF)
    assert isinstance(bench.models.resolve(REF), InstalledModel)


async def test_a_split_model_with_one_bad_part_is_not_loaded(bench: Bench) -> None:
    parts = write_parts(bench.models.folder / "maker--Tiny-GGUF")
    hashes = tuple(sha256(part.read_bytes()) for part in parts)
    bench.models.library.add_downloaded(_tiny(), parts, hashes)
    assert isinstance(bench.models.resolve(REF), InstalledModel)
    parts[1].write_bytes(parts[1].read_bytes() + b"x")
    await bench.models.installed()
    with pytest.raises(ModelUnusable, match="A part of tiny changed since it was verified, or did not pass"):
        bench.models.resolve(REF)


async def test_a_file_of_the_persons_own_that_they_changed_is_verified_once_more(bench: Bench) -> None:
    """Nobody says what its hash should be, so it has only to be read again."""
    path = write_model(bench.models.folder / "imported" / "mine.gguf", seed=3)
    await bench.models.installed()
    assert isinstance(bench.models.resolve("mine"), InstalledModel), "never verified"
    await bench.models.verify("mine")
    write_model(path, seed=4)
    await bench.models.installed()
    with pytest.raises(ModelUnusable, match="changed since"):
        bench.models.resolve("mine")
    await bench.models.verify("mine")
    assert isinstance(bench.models.resolve("mine"), InstalledModel)


class _Keyring(KeyringStore):
    """Holds one token, in this process."""

    async def read(self, name: str) -> Secret | None:
        return Secret("hf_standin") if name == KEY_NAME else None


async def test_a_token_that_the_keyring_holds_is_there_before_the_hub_is_asked(bench: Bench, hub: HubServer) -> None:
    bench.keys._store = _Keyring()
    await bench.models.plan_for(REF)
    assert not bench.models.hub.address.has_token, "it was never kept, so the keyring is not asked"
    bench.change(kept_keys=(KEY_NAME,))
    await bench.models.plan_for(REF)
    assert bench.models.hub.address.has_token
    assert bench.keys.state(KEY_NAME).place == "keyring"


def test_the_token_has_one_name_everywhere() -> None:
    assert KEY_NAME == HUB

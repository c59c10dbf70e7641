"""How the wheel of llama.cpp is named, fetched and recognised. It must not compile anything."""

from __future__ import annotations

import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import environment
import gpu
import llama_wheel
import pytest
import sdist
from shell import ROOT, Stop

FACTS = gpu.Facts("Linux", nvcc="/nowhere/nvcc", cublas=True, nvidia_driver=True)
CPU = gpu.choose("cpu", FACTS)
CUDA = gpu.choose("cuda", FACTS)
SAVED = b"a source archive, or something that says it is"


def test_equal_recipes_share_a_wheel_and_each_difference_makes_another(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in llama_wheel.LISTENED_TO:
        monkeypatch.delenv(name, raising=False)
    plain = llama_wheel.recipe(CPU, FACTS)
    assert llama_wheel.key(plain) == llama_wheel.key(llama_wheel.recipe(CPU, FACTS))
    others = [llama_wheel.recipe(CUDA, FACTS)]
    others += [{**plain, name: "other"} for name in plain]
    monkeypatch.setenv("CXXFLAGS", "-O1")
    others.append(llama_wheel.recipe(CPU, FACTS))
    assert len({llama_wheel.key(recipe) for recipe in [plain, *others]}) == len(others) + 1


def test_the_recipe_names_the_locked_source_and_the_slim_settings() -> None:
    recipe = llama_wheel.recipe(CPU, FACTS)
    assert len(recipe["sdist_sha256"]) == 64
    assert recipe["settings"]["LLAVA_BUILD"] == "OFF"
    assert "LLAMA_BUILD_COMMON OFF" in recipe["llama.cmake"]


def test_the_cache_can_be_moved_and_is_never_in_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert ROOT not in llama_wheel.cache_dir().parents
    monkeypatch.setenv("NEARFAR_BUILD_CACHE", str(tmp_path))
    assert llama_wheel.cache_dir() == tmp_path


def test_a_wheel_that_was_built_is_not_built_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEARFAR_BUILD_CACHE", str(tmp_path))
    home = tmp_path / llama_wheel.NAME / llama_wheel.key(llama_wheel.recipe(CPU, FACTS)) / "wheel"
    home.mkdir(parents=True)
    wheel = home / "llama_cpp_python-0-py3-none-any.whl"
    wheel.touch()
    assert llama_wheel.ensure(CPU, FACTS) == wheel


def _wheel(folder: Path, library: str) -> Path:
    """A wheel with one library, whose RECORD holds the library's digest."""
    path = folder / "llama_cpp_python-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        record = f"llama_cpp/lib/libllama.so,sha256={library},9\nllama_cpp_python-1.dist-info/RECORD,,\n"
        archive.writestr("llama_cpp_python-1.dist-info/RECORD", record)
    return path


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment in which the wheel with library `one` is installed."""
    info = tmp_path / "venv/lib/python3.11/site-packages/llama_cpp_python-1.dist-info"
    info.mkdir(parents=True)
    installed = "llama_cpp/lib/libllama.so,sha256=one,9\nllama_cpp_python-1.dist-info/INSTALLER,sha256=uv,2\n"
    (info / "RECORD").write_text(installed, encoding="utf-8")
    return tmp_path / "venv"


def test_an_environment_holds_a_wheel_only_when_every_byte_is_the_same(venv: Path, tmp_path: Path) -> None:
    assert environment.holds(venv, _wheel(tmp_path, "one"))
    assert not environment.holds(venv, _wheel(tmp_path, "two"))
    assert not environment.holds(tmp_path / "absent", _wheel(tmp_path, "one"))


def test_an_installation_that_uv_would_replace_is_not_ours(venv: Path, tmp_path: Path) -> None:
    next(venv.rglob("RECORD")).with_name("direct_url.json").touch()
    assert not environment.holds(venv, _wheel(tmp_path, "one"))


def _artifact(address: str, content: bytes) -> dict[str, object]:
    return {"url": address, "hash": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}


def test_a_whole_download_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "llama.tar.gz").write_bytes(SAVED)
    assert sdist.fetched(_artifact("https://127.0.0.1:1/llama.tar.gz", SAVED), tmp_path) == tmp_path / "llama.tar.gz"


def test_a_download_that_cannot_be_had_says_where_to_put_the_file(tmp_path: Path) -> None:
    with pytest.raises(Stop, match=r"Could not download.*put that file at .*llama\.tar\.gz"):
        sdist.fetched(_artifact("https://127.0.0.1:1/llama.tar.gz", SAVED), tmp_path)


def test_an_address_that_is_not_https_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="not https"):
        sdist.fetched(_artifact("http://127.0.0.1:1/llama.tar.gz", SAVED), tmp_path)


class _Forger(http.server.BaseHTTPRequestHandler):
    """Answers every request with the same bytes, which are not the ones asked for."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(SAVED)))
        self.end_headers()
        self.wfile.write(SAVED)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Nothing: the test's output is not a server's log."""


@pytest.fixture
def forger() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Forger)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/llama.tar.gz"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_archive_with_another_hash_is_thrown_away(
    forger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdist, "SCHEME", "http://")
    with pytest.raises(Stop, match="is not what uv"):
        sdist.fetched(_artifact(forger, b"the real archive"), tmp_path)
    assert list(tmp_path.iterdir()) == []

"""`nearfar run` beside programs that compute: it says so, once, with the figures and in JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.test_cli import lines, nearfar
from tests.gguf_factory import write_script
from tests.processes import computing

SAID = "nearfar: This computer was busy with other work"


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = [f" word{number}".encode() for number in range(40)]
    return write_script(tmp_path_factory.mktemp("models") / "endless.gguf", words, loop_to=0, n_ctx_train=65_536)


@pytest.fixture(scope="module", autouse=True)
def _busy_machine() -> Iterator[None]:
    with computing():
        yield


def test_it_is_said_once_and_after_the_figures(endless: Path) -> None:
    done = nearfar("run", "go", "--target", f"local:{endless}", "--max-tokens", "8000", "--temperature", "0")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(SAID) == 1
    assert "so tok/s is lower than this model can do." in done.stderr
    assert "tok/s" in done.stdout


def test_json_has_it_in_the_result_and_on_standard_error(endless: Path) -> None:
    done = nearfar("run", "go", "--target", f"local:{endless}", "--max-tokens", "8000", "--temperature", "0", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(SAID) == 1
    assert {line["event"] for line in lines(done)} == {"started", "delta", "finished"}
    work = lines(done)[-1]["result"]["other_work"]
    assert work["busy"] is True
    assert 0.2 <= work["busy_share"] <= 1
    assert work["busy_cores"] >= 0.15
    assert work["used_cores"] > 0
    assert work["cores"] >= 1


def test_practice_is_not_watched() -> None:
    done = nearfar("run", "What is Nearfar?", "--target", "practice", "--json")
    assert lines(done)[-1]["result"]["other_work"] is None
    assert SAID not in done.stderr

"""The downloader's parts without a network: names, ranges of bytes, the limit, the notes, the lock."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.models.download_disk import Lock
from backends.models.download_files import publish
from backends.models.download_limit import Limiter
from backends.models.download_names import check_name, check_path, check_repo, check_revision, layout_of
from backends.models.download_sidecar import Claim, Note, Sidecar, read_sidecar
from backends.models.download_spans import Spans
from backends.models.errors import BadReference, DownloadError
from backends.models.folder import gguf_files
from tests.backends.models.download_support import SPLIT_NAMES, plan_of


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", ".hidden", "~x", "a/b", "a\\b", "a:b", "a\x00b", "a\nb", "a\u202eb", "a ", "a.", "CON",
        "con.gguf", "LPT1.txt", "COM¹", "a*b", 'a"b', "x" * 201, "é" * 101, "a\ud800b",
    ],
)  # fmt: skip
def test_names_that_some_system_cannot_hold(name: str) -> None:
    with pytest.raises(BadReference):
        check_name(name)


@pytest.mark.parametrize(
    "name", ["a.gguf", "Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "ü b(1)+.gguf", "console", "x" * 200]
)
def test_names_that_every_system_can_hold(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "repo",
    [
        "",
        "one",
        "a/b/c",
        "/b",
        "a/",
        "../..",
        "a/..",
        "a--b/c",
        "a/b c",
        "https://huggingface.co/a/b",
        "a/b?x",
        "nul/x",
    ],
)
def test_repos_that_are_none(repo: str) -> None:
    with pytest.raises(BadReference):
        check_repo(repo)


@pytest.mark.parametrize("revision", ["", "..", "a/../b", "-x", "a b", "a//b", "main/", "x" * 300])
def test_revisions_that_are_none(revision: str) -> None:
    with pytest.raises(BadReference):
        check_revision(revision)


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_name_leads_out_of_the_folder(repo: str, path: str) -> None:
    folder = Path("/models")
    try:
        layout = layout_of(folder, plan_of(path, repo=repo))
    except BadReference:
        return
    for place in (*layout.final, *layout.parts, layout.sidecar, layout.lock):
        assert folder in Path(*place.parts).parents
        assert ".." not in place.parts


def test_splits_lie_together_in_the_folder_that_they_have_in_common() -> None:
    layout = layout_of(Path("/models"), plan_of(*SPLIT_NAMES))
    assert [path.as_posix() for path in layout.final] == [
        f"/models/owner--Tiny-GGUF/Big-Q8_0/Big-Q8_0-0000{n}-of-00003.gguf" for n in (1, 2, 3)
    ]
    assert len({*layout.parts, layout.sidecar, layout.lock}) == 5
    apart = layout_of(Path("/models"), plan_of("a/b/x-00001-of-00002.gguf", "a/c/x-00002-of-00002.gguf"))
    assert {path.parent.as_posix() for path in apart.final} == {"/models/owner--Tiny-GGUF/a"}, "llama.cpp looks there"


def test_files_of_one_name_in_different_folders_never_meet() -> None:
    paths = ("model.gguf", "Q4/model.gguf", "Q8/model.gguf", "Q4/Q8/model.gguf", "Q4--Q8/model.gguf")
    layouts = [layout_of(Path("/models"), plan_of(path)) for path in paths]
    places = [place for each in layouts for place in (*each.final, *each.parts, each.sidecar, each.lock)]
    assert len(set(places)) == len(places)


def test_a_file_lies_no_deeper_than_the_library_looks(tmp_path: Path) -> None:
    path = "/".join("abcd") + "/x.gguf"
    (final,) = layout_of(tmp_path, plan_of(path)).final
    final.parent.mkdir(parents=True)
    final.write_bytes(b"GGUF")
    assert list(gguf_files(tmp_path)) == [final]
    with pytest.raises(BadReference, match="more than 4 folders"):
        check_path(f"e/{path}")


def test_long_names_stay_short_enough_and_apart() -> None:
    long = ["x" * 180 + f"{n}.gguf" for n in (1, 2)]
    keys = {layout_of(Path("/m"), plan_of(name, repo="o" * 90 + "/" + "r" * 90)).key for name in long}
    assert len(keys) == 2
    assert all(len(f"{key}.json") < 250 for key in keys)
    assert check_path("a/b.GGUF") == "a/b.GGUF"


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=20))
def test_ranges_hold_what_was_added(pairs: list[tuple[int, int]]) -> None:
    spans = Spans(pairs)
    there = {at for start, stop in pairs for at in range(start, stop)}
    assert {at for start, stop in spans for at in range(start, stop)} == there
    assert spans.total == len(there)
    assert {at for start, stop in spans.gaps(64) for at in range(start, stop)} == set(range(64)) - there
    assert spans.front == next(at for at in range(62) if at not in there)
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(set(edges)), "sorted, apart, none empty"
    for start, stop in spans:
        assert spans.covers(start, stop)
        assert not spans.covers(start, stop + 1)


def test_a_limit_is_shared_by_all_and_stops_with_the_download() -> None:
    limiter, stop = Limiter(1_000_000), threading.Event()
    began = time.monotonic()
    threads = [threading.Thread(target=limiter.take, args=(50_000, stop)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began >= 0.19
    waiting = threading.Thread(target=limiter.take, args=(10**9, stop))
    waiting.start()
    stop.set()
    waiting.join(5)
    assert not waiting.is_alive()


def test_lifting_the_limit_frees_who_waits() -> None:
    limiter, stop = Limiter(1000), threading.Event()
    waiting = threading.Thread(target=limiter.take, args=(10**6, stop))
    waiting.start()
    limiter.set(None)
    waiting.join(5)
    assert not waiting.is_alive()
    assert limiter.chunk() > Limiter(1000).chunk()


def test_notes_and_claims_come_back_as_they_were(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path / "x.json", plan_of(*SPLIT_NAMES))
    sidecar.write()
    sidecar.note(0, Note(0, 10, 1))
    sidecar.note(0, Note(10, 20, 2))
    sidecar.put(0, Claim(Spans([(0, 10)]), 'host "etag"'))
    sidecar.put(1, Claim(Spans([(5, 7), (9, 11)])))
    sidecar.close()
    read = read_sidecar(sidecar.path)
    assert read is not None
    assert read.plan == sidecar.plan
    assert read.claim(0) == Claim(Spans([(0, 10)]), 'host "etag"', (Note(10, 20, 2),))
    assert read.claim(1).done == Spans([(5, 7), (9, 11)])
    assert read.done_bytes == 24
    sidecar.clear(0)
    sidecar.close()
    cleared = read_sidecar(sidecar.path)
    assert cleared is not None
    assert cleared.claim(0) == Claim()
    assert cleared.done_bytes == 4


def test_notes_do_not_grow_without_end(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path / "x.json", plan_of())
    sidecar.write()
    for n in range(40_000):
        sidecar.note(0, Note(n * 10, n * 10 + 10, n))
        if n % 1000 == 999:
            sidecar.put(0, Claim(Spans([(0, n * 10)])))
    sidecar.close()
    assert sidecar.path.stat().st_size < 700_000
    read = read_sidecar(sidecar.path)
    assert read is not None
    assert read.done_bytes == 400_000


@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_damaged_notes_never_raise_nor_claim_more(
    tmp_path_factory: pytest.TempPathFactory, cut: int, rng: random.Random
) -> None:
    path = tmp_path_factory.mktemp("notes") / "x.json"
    sidecar = Sidecar(path, plan_of())
    sidecar.write()
    for n in range(5):
        sidecar.note(0, Note(n * 10, n * 10 + 10, n))
        sidecar.put(0, Claim(Spans([(0, n * 10 + 5)])))
    sidecar.close()
    raw = path.read_bytes()
    path.write_bytes(raw[: cut % len(raw)] + rng.randbytes(rng.randrange(30)))
    read = read_sidecar(path)
    assert read is None or read.done_bytes <= 50


def test_the_file_that_llama_cpp_opens_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a power cut between two renames leaves no model that looks whole."""
    layout = layout_of(tmp_path, plan_of(*SPLIT_NAMES))
    layout.incomplete.mkdir()
    for part in layout.parts:
        part.write_bytes(b"GGUF")
    renamed: list[Path] = []
    replace = os.replace

    def recorded(source: Path, target: Path) -> None:
        renamed.append(Path(target))
        replace(source, target)

    monkeypatch.setattr("backends.models.download_files.os.replace", recorded)
    publish(layout)
    assert renamed == list(reversed(layout.final))
    assert all(path.exists() for path in layout.final)


def test_a_lock_has_one_owner_until_it_is_given_back(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "x.lock"), Lock(tmp_path / "x.lock")
    first.take()
    with pytest.raises(DownloadError, match="Another Nearfar"):
        second.take()
    first.give_back()
    first.give_back()
    second.take()
    second.give_back()
    assert list(tmp_path.iterdir()) == []

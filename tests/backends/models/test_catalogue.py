"""The catalogue is complete, agrees with itself, and finds what people mean."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest

from backends.models.catalogue import catalogue, facts_of, find, find_model, licence, licences, plan_of, resolve
from backends.models.errors import BadReference, NotRunnable, RepoMissing
from backends.models.quality import quality_of
from backends.models.quant_rules import QUANTS
from backends.models.records import CatalogueModel, CatalogueQuant, RemoteFile
from backends.models.references import HubRef, parse_ref
from backends.models.shapes import LLAMA_8B, LLAMA_70B, LLAMA_405B, LLAMA_405B_16_KV_HEADS, VOCAB, parameters
from backends.models.tensor_table import data_bytes, file_bytes, tensor_table
from backends.models.weights import weights_file_bytes

IDS = {
    *("llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b", "llama-3-8b", "llama-3.3-70b", "llama-3.1-70b", "llama-3-70b"),
    *("llama-3.1-405b", "llama-3.2-11b-vision", "llama-3.2-90b-vision"),
}
ENTRIES = [(model, quant) for model in catalogue() for quant in model.quants]
EACH_QUANT = pytest.mark.parametrize(("model", "quant"), ENTRIES, ids=[quant.ref for _, quant in ENTRIES])


def test_all_models_are_there_and_vision_says_why_not() -> None:
    assert {model.id for model in catalogue()} == IDS
    assert {model.id for model in catalogue() if model.not_runnable} == {"llama-3.2-11b-vision", "llama-3.2-90b-vision"}
    assert all(bool(model.quants) != bool(model.not_runnable) for model in catalogue())
    assert all(model.shape.vocab == VOCAB for model in catalogue())


def test_the_whole_ladder_of_quants() -> None:
    counts = {model.id: len(model.quants) for model in catalogue()}
    assert counts["llama-3.2-1b"] == 11
    assert counts["llama-3.2-3b"] == 18
    assert counts["llama-3.1-8b"] == 17
    assert counts["llama-3.1-70b"] == counts["llama-3.3-70b"] == 16
    assert len({quant.ref for _, quant in ENTRIES}) == len(ENTRIES) == 92


@EACH_QUANT
def test_sizes_agree_with_shape_and_rules(model: CatalogueModel, quant: CatalogueQuant) -> None:
    """Within 0.1 %: a wrong digit, quant, shape or model does not stay unseen."""
    weights = facts_of(model, quant).weights
    assert weights_file_bytes(weights) == pytest.approx(quant.size_bytes, rel=0.015)
    if quant.quant in QUANTS:
        computed = file_bytes(model.shape, quant.quant, imatrix=quant.imatrix)
        assert computed == pytest.approx(quant.size_bytes, rel=0.001)


def test_listed_sizes_are_right_to_the_byte() -> None:
    """Published size minus computed tensors is the header, which is the same for all quants of a repo."""
    headers: dict[str, dict[str, int]] = defaultdict(dict)
    for model, quant in ENTRIES:
        if quant.size_exact and quant.quant in QUANTS:
            tensors = data_bytes(tensor_table(model.shape, quant.quant, imatrix=quant.imatrix))
            headers[quant.repo][quant.ref] = quant.size_bytes - tensors
    assert sum(map(len, headers.values())) == 52
    for of_repo in headers.values():
        # Full weights and some Q8_0 lack the importance matrix's entries; each part of a split adds a few.
        assert all(7_830_000 < size < 7_890_000 for size in of_repo.values()), of_repo
        assert max(of_repo.values()) - min(of_repo.values()) < 600, of_repo
    whole = [quant.ref for _, quant in ENTRIES if quant.size_exact and len(quant.files) == 1 and quant.quant in QUANTS]
    usual = {repo: max(set(sizes.values()), key=list(sizes.values()).count) for repo, sizes in headers.items()}
    same = [ref for ref in whole for repo in headers if headers[repo].get(ref) == usual[repo]]
    differ = sorted(set(whole) - set(same))
    assert differ == ["llama-3.1-8b:F32", "llama-3.2-1b:F16", "llama-3.2-3b:BF16", "llama-3.2-3b:F16"]


@EACH_QUANT
def test_files_can_be_asked_for(model: CatalogueModel, quant: CatalogueQuant) -> None:
    for number, file in enumerate(quant.files, start=1):
        assert parse_ref(f"hf:{quant.repo}/{file.path}") == HubRef(quant.repo, file.path)
        assert len(quant.files) == 1 or f"-{number:05}-of-{len(quant.files):05}.gguf" in file.path
        if quant.names_confirmed:
            assert quant.quant.lower() in file.path.lower()
    known = [file.size_bytes for file in quant.files]
    assert None in known or sum(size for size in known if size) == quant.size_bytes
    assert quant.revision is not None or quant.repo.startswith(("lmstudio", "GPT4All", "bartowski/Meta-Llama-3-70B"))
    plan = plan_of(model, quant)
    assert (plan.ref, plan.files, plan.licence_tag) == (quant.ref, quant.files, model.licence.tag)


def test_hashes_that_were_published() -> None:
    hashes = {quant.ref: file.sha256 for _, quant in ENTRIES for file in quant.files if file.sha256}
    assert {ref: sha[:6] for ref, sha in hashes.items()} == {
        "llama-3.2-1b:Q4_K_M": "6f85a6",
        "llama-3.2-3b:Q4_K_M": "6c1a2b",
        "llama-3.1-8b:Q4_K_M": "7b064f",
        "llama-3.1-8b:Q5_K_M": "14e10f",
        "llama-3.1-70b:Q4_K_M": "f775c8",
        "llama-3.3-70b:Q4_K_M": "32df3b",
    }


def test_the_405b_of_the_first_release_has_its_own_shape() -> None:
    model, quant = find("llama-3.1-405b:Q4_K_M")
    assert model.shape == LLAMA_405B_16_KV_HEADS
    assert "twice the memory" in model.note
    assert len(quant.files) == 6
    assert file_bytes(LLAMA_405B, "Q4_K_M") != pytest.approx(quant.size_bytes, rel=0.001)


def test_find_in_any_case() -> None:
    model, quant = find("LLAMA-3.1-8B:q4_k_m")
    assert (model.name, quant.ref, quant.size_bytes) == ("Llama 3.1 8B Instruct", "llama-3.1-8b:Q4_K_M", 4_920_739_232)
    assert find_model("Llama-3.2-1B").parameters == parameters(find_model("llama-3.2-1b").shape)


@pytest.mark.parametrize(
    ("ref", "suggested"),
    [
        ("llama-3.1-8b:Q4_K", "llama-3.1-8b:Q4_K_M"),
        ("llama3.1-8b:Q4_K_M", "llama-3.1-8b"),
        ("lama-3.3-70b:Q4_K_M", "llama-3.3-70b"),
    ],
)
def test_a_name_that_is_almost_right(ref: str, suggested: str) -> None:
    with pytest.raises(BadReference) as caught:
        find(ref)
    assert suggested in caught.value.problem.fix


def test_names_that_are_not_in_the_catalogue() -> None:
    for ref in ("gpt-5:Q4_K_M", "hf:owner/repo/x.gguf"):
        with pytest.raises(BadReference):
            find(ref)
    with pytest.raises(NotRunnable, match="Vision"):
        find("llama-3.2-11b-vision:Q4_K_M")


def test_licences() -> None:
    assert {found.tag for found in licences()} == {"llama3", "llama3.1", "llama3.2", "llama3.3"}
    for found in licences():
        assert found.credit.startswith("Built with")
        assert found.credit.endswith(("Llama", "Llama 3"))
        assert f"{found.name}, Copyright © Meta Platforms, Inc. All Rights Reserved." in found.notice
    assert licence("llama3.3") == find_model("llama-3.3-70b").licence
    assert licence("mit") is None


def _quality(ref: str) -> tuple[float | None, float | None, str]:
    quality = find(ref)[1].quality
    assert quality is not None
    return quality.kld, quality.ppl, quality.measured_on


def test_quality_says_what_it_was_measured_on() -> None:
    assert _quality("llama-3.1-8b:Q4_K_M") == (0.028152, 6.382937, "Llama 3 8B (base) on Wikitext-2")
    kld, ppl, on = _quality("llama-3.3-70b:Q4_K_M")
    assert (kld, ppl) == (0.028152, 2.9674)
    assert "70B" in on
    assert "the KLD on Llama 3 8B" in on
    kld, ppl, on = _quality("llama-3.2-1b:Q4_K_M")
    assert (kld, ppl) == (0.028152, None)
    assert "guide" in on
    assert _quality("llama-3.2-3b:BF16")[0] == 0.0


def test_quality_of_the_making_that_the_file_had() -> None:
    made, bare = (quality_of("Q2_K", LLAMA_8B, imatrix=imatrix) for imatrix in (True, False))
    assert made is not None
    assert bare is not None
    assert (made.kld, bare.kld) == (0.332223, 0.445132)
    assert quality_of("Q4_1", LLAMA_8B) is None
    assert quality_of("UD-Q4_K_XL", LLAMA_70B) is None


def test_better_quants_of_a_model_lose_less() -> None:
    for model in catalogue():
        ladder = [quant for name in ("Q2_K", "Q4_K_M", "Q6_K", "Q8_0") for quant in model.quants if quant.quant == name]
        klds = [quant.quality.kld for quant in ladder if quant.quality and quant.quality.kld is not None]
        assert len(klds) == len(ladder)
        assert klds == sorted(klds, reverse=True)


class TestResolve:
    """Names and sizes that only the hub can say."""

    def quant(self) -> CatalogueQuant:
        quant = find("llama-3.1-70b:F16")[1]
        assert not quant.names_confirmed
        return quant

    def test_names_that_the_listing_has_are_kept(self) -> None:
        quant = find("llama-3.2-3b:Q3_K_L")[1]
        path = quant.files[0].path
        found = resolve(quant, [RemoteFile("README.md", 10), RemoteFile(path, 1000, "ab" * 32)])
        assert found.files == (RemoteFile(path, 1000, "ab" * 32),)
        assert (found.size_bytes, found.size_exact, found.names_confirmed) == (1000, True, True)

    def test_a_file_that_turns_out_to_be_split(self) -> None:
        name = "Meta-Llama-3.1-70B-Instruct-F16"
        parts = [RemoteFile(f"{name}/{name}-{number:05}-of-00003.gguf", 10) for number in (3, 1, 2)]
        other = RemoteFile(f"other/{name}-00001-of-00002.gguf", 10)
        found = resolve(self.quant(), [other, *parts])
        assert [file.path[-19:-5] for file in found.files] == ["00001-of-00003", "00002-of-00003", "00003-of-00003"]
        assert found.size_bytes == 30

    def test_case_and_folder_do_not_matter_but_the_quant_does(self) -> None:
        listing = [
            RemoteFile("bf16/Meta-Llama-3.1-70B-Instruct-bf16.gguf"),
            RemoteFile("Meta-Llama-3.1-70B-Instruct-f16.GGUF"),
        ]
        found = resolve(self.quant(), listing)
        assert found.files == (listing[1],)
        assert not found.size_exact

    def test_a_repo_without_it(self) -> None:
        name = "Meta-Llama-3.1-70B-Instruct-F16"
        for listing in ([], [RemoteFile("x.gguf")], [RemoteFile(f"{name}-00001-of-00002.gguf")]):
            with pytest.raises(RepoMissing, match=r"llama-3\.1-70b:F16"):
                resolve(self.quant(), listing)

    def test_what_is_known_of_a_pinned_file_stays(self) -> None:
        quant = find("llama-3.1-8b:Q4_K_M")[1]
        swapped = RemoteFile(quant.files[0].path, 5, "0" * 64)
        assert resolve(quant, [swapped]).files == quant.files

    def test_of_an_unpinned_file_the_hub_knows_more(self) -> None:
        quant = find("llama-3.1-8b:Q4_0")[1]
        assert quant.revision is None
        newer = RemoteFile(quant.files[0].path, 4_661_212_100, "1" * 64)
        assert resolve(quant, [newer]).files == (newer,)
        assert resolve(replace(quant, revision="a" * 40), [newer]).files[0].size_bytes == quant.size_bytes

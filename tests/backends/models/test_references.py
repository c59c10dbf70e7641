"""Names as people type and paste them: understood, or refused with a sentence."""

from __future__ import annotations

import pytest

from backends.models.errors import BadReference
from backends.models.references import CatalogueRef, HubRef, parse_ref, parse_repo

SHA = "bf5b95e96dac0462e2a09145ec66cae9a3f12067"


@pytest.mark.parametrize("text", ["llama-3.1-8b:Q4_K_M", "LLAMA-3.1-8B:q4_k_m", "  Llama-3.1-8b:Q4_k_M "])
def test_a_quant_in_any_case(text: str) -> None:
    assert parse_ref(text) == CatalogueRef("llama-3.1-8b", "Q4_K_M")
    assert str(parse_ref(text)) == "llama-3.1-8b:Q4_K_M"


@pytest.mark.parametrize(
    ("text", "path"),
    [("hf:Owner/Repo-GGUF/File.Q4_0.gguf", "File.Q4_0.gguf"), ("HF:Owner/Repo-GGUF/Q6_K/a-00001-of-00002.gguf", None)],
)
def test_a_file_of_the_hub_keeps_its_case(text: str, path: str | None) -> None:
    assert parse_ref(text) == HubRef("Owner/Repo-GGUF", path or "Q6_K/a-00001-of-00002.gguf")
    assert str(parse_ref(text)) == "hf:" + text[3:]


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        ("owner/repo", HubRef("owner/repo")),
        ("hf:owner/repo", HubRef("owner/repo")),
        ("owner/repo/x.gguf", HubRef("owner/repo", "x.gguf")),
        ("https://huggingface.co/owner/repo", HubRef("owner/repo")),
        ("https://huggingface.co/owner/repo/", HubRef("owner/repo")),
        ("http://hf.co/owner/repo", HubRef("owner/repo")),
        ("huggingface.co/owner/repo", HubRef("owner/repo")),
        ("https://huggingface.co/owner/repo/tree/main", HubRef("owner/repo")),
        ("https://huggingface.co/owner/repo/tree/main/Q6_K", HubRef("owner/repo")),
        (f"https://huggingface.co/owner/repo/tree/{SHA}", HubRef("owner/repo", None, SHA)),
        ("https://huggingface.co/owner/repo/blob/main/x.gguf", HubRef("owner/repo", "x.gguf")),
        ("https://huggingface.co/owner/repo/resolve/main/a/x.gguf?download=true", HubRef("owner/repo", "a/x.gguf")),
        ("https://huggingface.co/owner/repo/blob/main/x%20y.gguf", HubRef("owner/repo", "x y.gguf")),
    ],
)
def test_a_repo_and_the_address_of_its_page(text: str, understood: HubRef) -> None:
    assert parse_repo(text) == understood


REFUSED = [
    "",
    "   ",
    "llama",
    ":Q4_K_M",
    "llama-3.1-8b:",
    "a:b:c",
    "a/b:c",
    "hf:",
    "hf:owner",
    "hf:owner/repo",
    "hf:owner/repo/",
    "hf:owner/repo/x.bin",
    "hf:owner/repo/x.gguf.exe",
    "hf:owner/repo/../x.gguf",
    "hf:owner/../x.gguf",
    "hf:../repo/x.gguf",
    "hf:/owner/repo/x.gguf",
    "hf:owner//x.gguf",
    "hf:owner/repo//x.gguf",
    "hf:owner/repo/.hidden.gguf",
    "hf:owner/repo/C:x.gguf",
    "hf:owner/repo/con.gguf",
    "hf:owner\\repo\\x.gguf",
    "hf:owner/repo/x\0.gguf",
    "hf:owner/repo/x\n.gguf",
    "hf:owner/re po/x.gguf",
    "hf:owner/re..po/x.gguf",
    "hf:owner/repo/" + "x" * 300 + ".gguf",
    "hf:owner/repo/" + "x" * 2000,
    "https://example.com/owner/repo/resolve/main/x.gguf",
    "https://huggingface.co.example.com/owner/repo/resolve/main/x.gguf",
    "https://huggingface.co@example.com/owner/repo/resolve/main/x.gguf",
    "https://huggingface.co:444/owner/repo/resolve/main/x.gguf",
    "ftp://huggingface.co/owner/repo/resolve/main/x.gguf",
    "file:///etc/passwd",
    "https://[::1/owner/repo",
    "https://huggingface.co/owner/repo/resolve/main/%2e%2e/x.gguf",
    "https://huggingface.co/owner/repo/resolve/..%2f..%2fx/x.gguf",
    "https://huggingface.co/owner/repo/resolve/main/a%2f..%2fx.gguf",
    "https://huggingface.co/owner/repo/discussions/1",
    "https://huggingface.co/owner",
    "https://huggingface.co/datasets/owner/repo",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_names_nothing(text: str) -> None:
    with pytest.raises(BadReference) as caught:
        parse_ref(text)
    assert caught.value.problem.fix
    assert caught.value.problem.what.isprintable()
    assert len(caught.value.problem.what) < 200


def test_a_model_without_its_quant_is_shown_one() -> None:
    with pytest.raises(BadReference, match="which quant") as caught:
        parse_ref("Llama-3.1-8b")
    assert "llama-3.1-8b:Q4_K_M" in caught.value.problem.fix

"""The hub's client: what a repo lists, where a file lies, single ranges of it, and every way to be refused."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import threading
from pathlib import Path

import pytest

from backends.egress import Egress
from backends.egress_policy import Policy
from backends.errors import BadAddress, NearfarError, NetworkNotAllowed, NotAModel
from backends.keys import Secret
from backends.models.errors import (
    BadReference,
    HubUnreachable,
    NotTheFile,
    RepoGated,
    RepoMissing,
    ServerMisbehaved,
)
from backends.models.gguf import read_header
from backends.models.hub import LISTING, Hub
from backends.models.hub_address import HubAddress, hub_url
from backends.models.hub_failures import of_connection, of_status
from backends.models.hub_listing import RepoListing, guess_quant, read_listing
from tests.backends.models.download_support import NAME, REPO, SPLIT_NAMES, hub_with, write_file
from tests.fakes.hub_server import HubServer
from tests.gguf_factory import write_random


async def test_a_listing_has_models_with_their_parts(tmp_path: Path) -> None:
    for name in SPLIT_NAMES:
        write_file(tmp_path / "hub" / REPO / name, 5_000)
    (tmp_path / "hub" / REPO / "config.json").write_text("{}")
    names = ("../../evil.gguf", "C:\\evil.gguf", "Odd-00001-of-00002.gguf", "nul.gguf")
    with hub_with(tmp_path, 2_000, extra_names=names) as server:
        hub = Hub(Egress(), server.url)
        listing = await hub.listing(REPO)
        assert (listing.repo, listing.revision) == (REPO, server.commit(REPO))
        assert (listing.licence_tag, listing.gated) == ("llama3.1", False)
        assert listing.left_out == ("../../evil.gguf", "C:\\evil.gguf", "nul.gguf")
        odd, tiny, big = listing.models
        assert (odd.missing, tiny.missing, big.missing) == (1, 0, 0)
        assert (tiny.ref, tiny.name, tiny.quant) == (f"hf:{REPO}/{NAME}", "Tiny-Q4_K_M", "Q4_K_M")
        assert tiny.files[0].sha256 == hashlib.sha256((tmp_path / "hub" / REPO / NAME).read_bytes()).hexdigest()
        assert (big.ref, big.name, big.quant) == (f"hf:{REPO}/{SPLIT_NAMES[0]}", "Big-Q8_0", "Q8_0")
        assert [file.path for file in big.files] == list(SPLIT_NAMES)
        assert big.size_bytes == 15_000
        plan = listing.plan(big)
        assert (plan.ref, plan.repo, plan.revision, plan.files) == (big.ref, REPO, listing.revision, big.files)
        assert server.seen[0].path == f"/api/models/{REPO}?blobs=true"
        await hub.listing(REPO, server.commit(REPO))
        assert server.seen[1].path == f"/api/models/{REPO}/revision/{server.commit(REPO)}?blobs=true"
        await hub.close()
    (contact,) = hub.egress.log()
    assert contact.purpose == LISTING


async def test_where_a_file_lies(tmp_path: Path) -> None:
    with hub_with(tmp_path, 5_000) as server:
        server.renamed["old/Name"] = REPO
        hub = Hub(Egress(), server.url)
        for repo in (REPO, "old/Name"):
            found = await hub.resolve(repo, None, NAME)
            assert found.url.startswith(server.cdn_url)
            assert found.size_bytes == 5_000
            assert found.sha256 == hashlib.sha256((tmp_path / "hub" / REPO / NAME).read_bytes()).hexdigest()
            assert found.commit == server.commit(REPO)
        assert server.cdn_seen == [], "asking where it lies fetches nothing"
        await hub.close()


async def test_a_redirect_says_nothing_of_the_file_itself(tmp_path: Path) -> None:
    with hub_with(tmp_path, 5_000, fault="mirror") as server:
        hub = Hub(Egress(), server.url)
        found = await hub.resolve(REPO, None, NAME)
        assert (found.size_bytes, found.sha256) == (None, None), "its length and ETag are those of its own page"
        assert found.url.startswith(server.cdn_url)
        assert await hub.read_range(REPO, None, NAME, 0, 4) == b"GGUF"
        await hub.close()


async def test_a_long_listing_does_not_hold_up_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_by: list[str] = []

    def recorded(repo: str, raw: bytes) -> RepoListing:
        read_by.append(threading.current_thread().name)
        return read_listing(repo, raw)

    monkeypatch.setattr("backends.models.hub.read_listing", recorded)
    with hub_with(tmp_path, 5_000) as server:
        hub = Hub(Egress(), server.url)
        assert len((await hub.listing(REPO)).models) == 1
        assert read_by != [threading.current_thread().name]
        await hub.close()


def test_a_listing_has_a_limit_of_its_own() -> None:
    files = [{"rfilename": f"{n}.gguf"} for n in range(10_001)]
    assert len(read_listing("a/b", json.dumps({"siblings": files[:-1]}).encode()).models) == 10_000
    with pytest.raises(ServerMisbehaved, match=r"a/b has more than 10,000 files"):
        read_listing("a/b", json.dumps({"siblings": files}).encode())


async def test_a_range_of_a_remote_file(tmp_path: Path) -> None:
    source = write_file(tmp_path / "hub" / REPO / NAME, 9_000).read_bytes()
    with HubServer(tmp_path / "hub") as server:
        hub = Hub(Egress(), server.url)
        assert await hub.read_range(REPO, None, NAME, 100, 300) == source[100:300]
        assert await hub.read_range(REPO, None, NAME, 8_900, 10_000) == source[8_900:]
        assert await hub.read_range(REPO, None, NAME, 9_000, 10_000) == b""
        server.fault = "ranges_ignored"
        assert await hub.read_range(REPO, None, NAME, 100, 300) == source[100:300]
        for fault in ("wrong_range", "gzip", "endless"):
            server.fault = fault
            with pytest.raises(ServerMisbehaved):
                await hub.read_range(REPO, None, NAME, 100, 300)
        await hub.close()


async def test_a_header_is_read_until_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hub" / REPO).mkdir(parents=True)
    source = write_random(tmp_path / "hub" / REPO / NAME).read_bytes()
    length = read_header(source, name="x").header_bytes
    monkeypatch.setattr("backends.models.hub.FIRST_BYTES", 1024)
    with HubServer(tmp_path / "hub") as server:
        hub = Hub(Egress(), server.url)
        data, size_bytes = await hub.header(REPO, None, NAME)
        assert size_bytes == len(source)
        assert length <= len(data) < 3 * length
        assert data == source[: len(data)]
        assert server.served_bytes == len(data), "nothing was fetched twice"
        server.fault = "not_gguf"
        with pytest.raises(NotTheFile, match="is not a GGUF file"):
            await hub.header(REPO, None, NAME)
        server.fault = "mirror"
        with pytest.raises(ServerMisbehaved, match="does not say how large"):
            await hub.header(REPO, None, NAME)
        assert (await hub.header(REPO, None, NAME, len(source)))[1] == len(source)
        server.fault = None
        (tmp_path / "hub" / REPO / NAME).write_bytes(source[: length // 2])
        with pytest.raises(NotAModel, match="past the end of the file"):
            await hub.header(REPO, None, NAME)
        await hub.close()


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("portal", NotTheFile, "web page instead of what 127.0.0.1 has"),
        ("portal_redirect", ServerMisbehaved, "portal.example, which is not one of the hub's own hosts"),
        ("too_many", HubUnreachable, "asks you to wait"),
        ("failing", HubUnreachable, "HTTP 500"),
        ("unreadable", ServerMisbehaved, "cannot be read"),
    ],
)
async def test_a_listing_that_fails(tmp_path: Path, fault: str, error: type[NearfarError], words: str) -> None:
    with hub_with(tmp_path, 2_000, fault=fault) as server:
        hub = Hub(Egress(), server.url)
        with pytest.raises(error, match=words):
            await hub.listing(REPO)
        await hub.close()


async def test_the_hub_says_who_may_read_what(tmp_path: Path) -> None:
    with hub_with(tmp_path, 2_000, gated={REPO}) as server:
        nobody, stranger, member = (
            Hub(Egress(), server.url, (lambda token=token: token and Secret(token)))  # type: ignore[misc]
            for token in (None, "hf_other", "hf_standin")
        )
        assert (await nobody.listing(REPO)).gated
        with pytest.raises(RepoGated, match="lets in only accounts"):
            await nobody.resolve(REPO, None, NAME)
        with pytest.raises(RepoGated, match="has not been let in"):
            await stranger.resolve(REPO, None, NAME)
        assert await member.read_range(REPO, None, NAME, 0, 4) == b"GGUF"
        assert server.seen[-1].headers["authorization"] == "Bearer hf_standin"
        assert all("authorization" not in seen.headers for seen in server.cdn_seen)
        with pytest.raises(RepoMissing, match="to nobody without a token"):
            await nobody.listing("no/Repo")
        with pytest.raises(RepoMissing, match=r"There is no no/Repo on 127\.0\.0\.1"):
            await member.listing("no/Repo")
        with pytest.raises(RepoMissing, match="no such revision"):
            await nobody.listing(REPO, "gone")
        for hub in (nobody, stranger, member):
            await hub.close()


@pytest.mark.parametrize("repo", ["..", "a/..", "https://huggingface.co/a/b", "a/b/c", "a/b?x=1"])
async def test_a_bad_name_is_refused_before_anybody_is_asked(tmp_path: Path, repo: str) -> None:
    with hub_with(tmp_path, 2_000) as server:
        hub = Hub(Egress(), server.url)
        with pytest.raises(BadReference):
            await hub.listing(repo)
        with pytest.raises(BadReference):
            await hub.resolve(REPO, None, "../x.gguf")
        assert server.seen == []


async def test_local_only_refuses_the_hub_itself() -> None:
    egress = Egress(Policy(local_only=True))
    hub = Hub(egress, "https://huggingface.co")
    hub.allow()
    with pytest.raises(NetworkNotAllowed, match="Local only"):
        await hub.listing(REPO)
    assert (egress.log()[0].outcome, egress.log()[0].purpose) == ("refused", LISTING)


# -- rules -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["huggingface.co", "ftp://huggingface.co", "http://huggingface.co", "http://192.168.1.5", "https://u:p@hub.example",
     "https://hub.example/?x=1", "https://"],
)  # fmt: skip
def test_addresses_that_no_hub_has(url: str) -> None:
    with pytest.raises(BadAddress):
        HubAddress(url)


@pytest.mark.parametrize(
    "url", ["http://u:CANARY@x.invalid", "ftp://u:CANARY@x.invalid", "https://CANARY@hub.example/?x"]
)
def test_a_password_in_the_address_of_a_hub_is_not_repeated_and_the_example_is_a_hub(url: str) -> None:
    with pytest.raises(BadAddress) as caught:
        HubAddress(url)
    said = caught.value.problem.sentence
    assert "https://huggingface.co" in said
    assert "api.openai.com" not in said
    assert "CANARY" not in said


def test_the_hub_is_the_one_that_the_variable_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_url({}) == hub_url({"NEARFAR_HUB_URL": " "}) == "https://huggingface.co"
    assert Hub(Egress()).address.url == "https://huggingface.co"
    monkeypatch.setenv("NEARFAR_HUB_URL", "http://127.0.0.1:9/")
    assert Hub(Egress()).address.url == "http://127.0.0.1:9"


HUB = "https://huggingface.co/a/b/resolve/main/c.gguf"


@pytest.mark.parametrize(
    "target",
    ["https://cdn-lfs.hf.co/x?Signature=1", "https://cas-bridge.xethub.hf.co/x", "/a2/b/resolve/main/c.gguf",
     "https://cdn-lfs.huggingface.co/x"],
)  # fmt: skip
def test_redirects_that_are_followed(target: str) -> None:
    assert HubAddress("https://huggingface.co").follow(HUB, target).startswith("https://")


@pytest.mark.parametrize(
    "target",
    ["http://cdn-lfs.hf.co/x", "https://huggingface.co.evil.com/x", "https://evil-hf.co/x", "https://hf.co.evil/x",
     "//evil.example/x", "https://127.0.0.1/x", "http://localhost/x", "https://user:pass@cdn-lfs.hf.co/x", "ftp://hf.co/x",
     "", "https://cdn-lfs.hf.co/a b", "https://cdn-lfs.hf.co/\x00", "https://[::1", "https://cdn-lfs.hf.co:x/"],
)  # fmt: skip
def test_redirects_that_are_refused(target: str) -> None:
    with pytest.raises(ServerMisbehaved):
        HubAddress("https://huggingface.co").follow(HUB, target)


def test_a_token_goes_to_the_hub_alone() -> None:
    address = HubAddress("https://huggingface.co", lambda: Secret("hf_secret"))
    assert address.headers(HUB) == {"Authorization": "Bearer hf_secret"}
    for other in (
        "https://cdn-lfs.hf.co/x", "http://huggingface.co/x", "https://huggingface.co:8443/x",
        "https://huggingface.co.evil.com/x", "https://x.huggingface.co/",
    ):  # fmt: skip
        assert address.headers(other) == {}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "x"), "could not be found"),
        (ConnectionRefusedError(), "Nothing answers"),
        (TimeoutError(), "did not answer in time"),
        (OSError(101, "x"), "offline"),
        (ConnectionResetError(), "was lost"),
        (ssl.SSLError("x"), "secure connection"),
    ],
)
def test_a_network_error_has_its_sentence(error: OSError, words: str) -> None:
    problem = of_connection(error, "hub.example")
    assert isinstance(problem, HubUnreachable)
    assert words in problem.problem.what
    assert "hub.example" in problem.problem.what


def test_a_certificate_has_two_sentences() -> None:
    for message, words in (("certificate has expired", "Check the date"), ("self-signed certificate", "sign-in page")):
        error = ssl.SSLCertVerificationError(1, message)
        error.verify_message = message
        assert words in of_connection(error, "hub.example").problem.fix


def test_a_proxy_and_a_disabled_repo() -> None:
    assert "password" in of_status(407, {}, HUB, "a/b", has_token=False).problem.what
    assert "disabled" in of_status(403, {"x-error-code": "DisabledRepo"}, HUB, "a/b", has_token=True).problem.what
    assert isinstance(of_status(403, {"content-type": "text/html"}, HUB, "a/b", has_token=True), NotTheFile)


@pytest.mark.parametrize(
    ("path", "quant"),
    [
        ("Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "Q4_K_M"),
        ("llama-3.2-1b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("Llama-3.2-3B-Instruct-IQ3_M.gguf", "IQ3_M"),
        ("Llama-3.3-70B-Instruct-Q6_K/Llama-3.3-70B-Instruct-Q6_K-00001-of-00002.gguf", "Q6_K"),
        ("Llama-3.2-1B-Instruct-f16.gguf", "F16"),
        ("Llama-3.2-1B-Instruct-BF16.gguf", "BF16"),
        ("model.Q8_0.gguf", "Q8_0"),
        ("Meta-Llama-3-8B-Instruct.Q4_0.gguf", "Q4_0"),
        ("UD-Q2_K_XL/model-00001-of-00002.gguf", "Q2_K_XL"),
        ("Q4_0_4_4/Llama-Q4_0_4_4.gguf", "Q4_0_4_4"),
        ("Llama-IQ2_XXS.gguf", "IQ2_XXS"),
        ("plain.gguf", None),
        ("Qwen-Q4.gguf", None),
    ],
)
def test_a_quant_is_guessed_from_the_name(path: str, quant: str | None) -> None:
    assert guess_quant(path) == quant


@pytest.mark.parametrize(
    "reply",
    [b"", b"[]", b'{"siblings": [{"size": 5}]}', b'{"siblings": [{"rfilename": "a.gguf", "size": -1}]}', b"\xff"],
)
def test_a_listing_that_cannot_be_read(reply: bytes) -> None:
    with pytest.raises(ServerMisbehaved):
        read_listing("a/b", reply)


def test_a_listing_without_sizes_or_hashes() -> None:
    reply = {"sha": None, "siblings": [{"rfilename": "a.gguf"}, {"rfilename": "b.gguf", "lfs": {"sha256": "no"}}]}
    listing = read_listing("a/b", json.dumps(reply).encode())
    assert listing.revision is None
    assert [model.size_bytes for model in listing.models] == [None, None]
    assert {model.files[0].sha256 for model in listing.models} == {None}
    other = read_listing("a/b", b'{"cardData": {"license": "other", "license_name": "my-licence"}}')
    assert other.licence_tag == "my-licence"

"""The client of the Hugging Face hub: a repo's files, where one lies now, and single ranges of it. Must not keep files.

All of it goes through `Egress` for one purpose, so that the policy and the log hold. Its coroutines run on one loop.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backends.egress import Egress
from backends.keys import Secret
from backends.models.download_names import check_path, check_repo, check_revision
from backends.models.errors import NotTheFile, ServerMisbehaved
from backends.models.gguf import HeaderIncomplete, read_header
from backends.models.gguf_file import FIRST_BYTES
from backends.models.hub_address import CONTENT_RANGE, MAX_REDIRECTS, HubAddress, hub_url
from backends.models.hub_failures import is_page, of_connection, of_page, of_status
from backends.models.hub_listing import COMMIT, SHA256, RepoListing, read_listing

if TYPE_CHECKING:
    import httpx2

LISTING = "model listing"
DOWNLOAD = "model download"
KEY_NAME = "huggingface"
NOTHING = "Nothing was downloaded."
MAX_LISTING_BYTES = 8 * 2**20  # twice what the longest listing that is read takes
ANSWER_S = 30.0
SLOWEST_BYTES_S = 1024
ETAG = re.compile(r'(?:W/)?"?([^"]{1,200})"?')


@dataclass(frozen=True, slots=True)
class Resolved:
    """One file of a repo as the hub has it now. `url` is signed and expires; None is what the hub did not say."""

    url: str
    size_bytes: int | None
    sha256: str | None
    commit: str | None


class Hub:
    """The hub at one address. Make it anywhere, use it on one event loop; `close` ends its connections."""

    def __init__(
        self,
        egress: Egress,
        endpoint: str | None = None,
        token: Callable[[], Secret | None] | None = None,
        *,
        answer_s: float = ANSWER_S,
    ) -> None:
        """`endpoint` None is huggingface.co, or what NEARFAR_HUB_URL names. Raises BadAddress."""
        self.egress = egress
        self.address = HubAddress(endpoint or hub_url(), token)
        self._answer_s = answer_s
        self._client: httpx2.AsyncClient | None = None
        self._making = asyncio.Lock()

    def allow(self) -> None:
        """The person clicked: the hub and the hosts behind it may be contacted. Under local only they still are not."""
        for purpose in (LISTING, DOWNLOAD):
            self.egress.allow_for(purpose, self.address.hosts)

    async def close(self) -> None:
        """Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def listing(self, repo: str, revision: str | None = None) -> RepoListing:
        """The GGUF files of a repo with sizes and hashes, at its newest commit or at `revision`.

        Raises BadReference, RepoMissing, RepoGated, HubUnreachable, NotTheFile, ServerMisbehaved, NetworkNotAllowed.
        """
        check_repo(repo)
        url = self.address.api(repo, check_revision(revision) if revision else None) + "?blobs=true"
        async with self._ask("GET", url, repo) as (response, _url):
            self._raise_for(response, url, repo)
            raw = await self._read(response, MAX_LISTING_BYTES)
        return await asyncio.to_thread(read_listing, repo, raw)

    async def resolve(self, repo: str, revision: str | None, path: str) -> Resolved:
        """Where a file lies now, with the size and hash that the hub vouches for. Raises as `listing`."""
        check_repo(repo)
        wanted = check_revision(revision) if revision else "main"
        url = self.address.file(repo, wanted, check_path(path))
        what = f"{repo}/{path}"
        for _ in range(MAX_REDIRECTS):
            async with self._ask("HEAD", url, what, follow=False) as (response, _url):
                headers = response.headers
                if response.is_redirect:
                    target = self.address.follow(url, headers.get("location", ""))
                    if self.address.is_hub(target) and "x-linked-size" not in headers:
                        url = target  # a repo that was renamed
                        continue
                    return _resolved(target, headers, itself=False)
                self._raise_for(response, url, what)
                return _resolved(url, headers, itself=response.status_code == 200)
        raise ServerMisbehaved(f"{self.address.host} redirects in circles.", safe=NOTHING)

    async def read_range(self, repo: str, revision: str | None, path: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a file, fewer where it ends before. Raises as `listing`."""
        return await self._range(await self.resolve(repo, revision, path), path, start, stop)

    async def header(
        self, repo: str, revision: str | None, path: str, size_bytes: int | None = None
    ) -> tuple[bytes, int]:
        """The beginning of a GGUF file with all of its header, and the size of the whole file if none is given.

        It is read in a thread: 100,000 tokens would hold up the loop. Raises as `listing`, NotTheFile where the file
        does not begin as a GGUF, and NotAModel or ModelUnusable for a header that llama.cpp could not read.
        """
        found = await self.resolve(repo, revision, path)
        size_bytes = size_bytes or found.size_bytes
        if size_bytes is None:
            raise ServerMisbehaved(
                f"The hub does not say how large {path} is.", safe=NOTHING, fix="Choose another file."
            )
        data, wanted = b"", FIRST_BYTES
        while True:
            data += await self._range(found, path, len(data), wanted)
            if not data.startswith(b"GGUF"):
                raise NotTheFile(f"{path} is not a GGUF file.", safe=NOTHING, fix="Choose another file.")
            try:
                await asyncio.to_thread(read_header, data, name=path, file_bytes=size_bytes)
            except HeaderIncomplete as more:
                if len(data) < wanted:
                    raise ServerMisbehaved(f"{path} ends before the header does.", safe=NOTHING) from None
                wanted = max(2 * wanted, more.at_least_bytes)
            else:
                return data, size_bytes

    # -- one request ---------------------------------------------------------------------------------------------

    async def _range(self, found: Resolved, path: str, start: int, stop: int) -> bytes:
        stop = min(stop, found.size_bytes) if found.size_bytes is not None else stop
        if stop <= start:
            return b""
        async with self._ask("GET", found.url, path, {"Range": f"bytes={start}-{stop - 1}"}) as (response, url):
            host = urlsplit(url).hostname or ""
            if response.status_code == 416:
                return b""
            self._raise_for(response, url, path)
            if response.status_code == 206:
                match = CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
                if match is None or int(match[1]) != start or int(match[2]) >= stop:
                    raise ServerMisbehaved(f"{host} sent another part of {path} than was asked for.")
                return await self._read(response, stop - start)
            return (await self._read(response, stop, cut=True))[start:]  # it knows no ranges

    @asynccontextmanager
    async def _ask(
        self, method: str, url: str, what: str, headers: Mapping[str, str] | None = None, *, follow: bool = True
    ) -> AsyncIterator[tuple[httpx2.Response, str]]:
        """A response whose body is not read yet, and the address that gave it."""
        client = await self._http()
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._send(client, method, url, headers)
            try:
                if not (follow and response.is_redirect):
                    yield response, url
                    return
                url = self.address.follow(url, response.headers.get("location", ""))
            finally:
                await response.aclose()
        raise ServerMisbehaved(f"{self.address.host} redirects in circles.", safe=NOTHING)

    async def _send(
        self, client: httpx2.AsyncClient, method: str, url: str, headers: Mapping[str, str] | None
    ) -> httpx2.Response:
        import httpx2

        request = client.build_request(method, url, headers={**(headers or {}), **self.address.headers(url)})
        host = urlsplit(url).hostname or ""
        try:
            return await self._in_time(client.send(request, stream=True), host)
        except httpx2.TimeoutException:
            raise of_connection(TimeoutError(), host) from None
        except (httpx2.TransportError, httpx2.InvalidURL, OSError) as error:
            raise of_connection(error, host) from error

    async def _in_time(self, work: object, host: str) -> httpx2.Response:
        """A head that drips in byte by byte keeps every read timeout quiet, so the whole of it has a limit."""
        assert asyncio.iscoroutine(work)
        task: asyncio.Task[httpx2.Response] = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._answer_s)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        if done:
            return task.result()
        task.cancel()
        await asyncio.wait({task})
        raise of_connection(TimeoutError(), host)

    async def _read(self, response: httpx2.Response, limit: int, *, cut: bool = False) -> bytes:
        """The body, at most `limit` bytes. More is an error, unless it is to be `cut` there."""
        import httpx2

        host = response.request.url.host
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            raise ServerMisbehaved(f"{host} sent a compressed reply, which nobody asked for.")
        body = bytearray()
        began_s = time.monotonic()
        try:
            async for piece in response.aiter_raw():
                body += piece
                if time.monotonic() - began_s > self._answer_s + len(body) / SLOWEST_BYTES_S:
                    raise TimeoutError
                if len(body) > limit:
                    if cut:
                        break
                    raise ServerMisbehaved(f"{host} sends more than it was asked for.")
        except (httpx2.TimeoutException, TimeoutError):
            raise of_connection(TimeoutError(), host) from None
        except httpx2.TransportError as error:
            raise of_connection(error, host) from error
        return bytes(body[:limit])

    def _raise_for(self, response: httpx2.Response, url: str, what: str) -> None:
        if response.is_success and is_page(response.headers):
            raise of_page(urlsplit(url).hostname or "")
        if not response.is_success:
            raise of_status(response.status_code, response.headers, url, what, has_token=self.address.has_token)

    async def _http(self) -> httpx2.AsyncClient:
        self.egress.check(LISTING, self.address.url)
        async with self._making:
            if self._client is None:
                self._client = await asyncio.to_thread(self.egress.http_client, LISTING, self.address.url)
            return self._client


def _resolved(url: str, headers: Mapping[str, str], *, itself: bool) -> Resolved:
    """`itself`: the answer is the file's own, so its length and ETag are the file's too. A redirect has others."""
    own = headers if itself else {}
    etag = ETAG.fullmatch(headers.get("x-linked-etag") or own.get("etag") or "")
    mark = etag[1].lower() if etag else ""
    size = headers.get("x-linked-size") or own.get("content-length") or ""
    commit = headers.get("x-repo-commit", "")
    return Resolved(
        url=url,
        size_bytes=int(size) if re.fullmatch(r"\d{1,16}", size) else None,
        sha256=mark if SHA256.fullmatch(mark) else None,
        commit=commit if COMMIT.fullmatch(commit) else None,
    )

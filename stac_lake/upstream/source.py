"""Bytes of upstream assets: signed at read time, ranged, and never silently wrong."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from stac_lake.errors import AssetMissing, BadRaster, ProviderRejected, UntrustedSource
from stac_lake.recipe import providers
from stac_lake.types import Asset
from stac_lake.upstream.http import Ask, Http, Reply
from stac_lake.upstream.signing import Signer
from stac_lake.upstream.trust import bare

HEAD_BYTES = 32 << 10
"""Read with the first request, as nearly every file is opened by its header."""
GAP_BYTES = 256 << 10
"""Nearer ranges share a request: at 20 MB/s that much arrives in a fraction of a round trip."""
PIECE_BYTES = 16 << 20
MAX_FILE_BYTES = 2 << 30
_KNOWN_FILES = 512
_THREADS = 16


@dataclass(frozen=True)
class _File:
    """What the first request told about a file."""

    size: int
    etag: str | None
    head: bytes = field(repr=False)


class AssetSource:
    """`types.Source` over HTTP.

    All reads of one file are of one version of it: its size and ETag are remembered, sent as
    ``If-Match`` where the ETag is strong, and compared with each answer.
    """

    def __init__(self, http: Http, signers: Mapping[str, Signer]) -> None:
        self._http = http
        self._signers = signers
        self._lock = threading.Lock()
        self._files: OrderedDict[str, _File] = OrderedDict()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="upstream")

    def size(self, asset: Asset) -> int:
        """Size of the file in bytes.

        Raises:
            AssetMissing: 404 or 410.
            ProviderRejected: still refused after signing again.
            ProviderUnavailable: every attempt failed.
            UntrustedSource: the href or a redirect is refused.
        """
        return self._file(asset).size

    def read(self, asset: Asset) -> bytes:
        """The whole file; raises as `size` and `read_ranges`.

        Raises:
            UntrustedSource: it declares more than 2 GiB.
        """
        size = self.size(asset)
        if size > MAX_FILE_BYTES:
            raise UntrustedSource(
                f"a file of {size} bytes: refused, at most {MAX_FILE_BYTES} are read whole",
                asset=bare(asset.href),
            )
        return self.read_ranges(asset, [(0, size)])[0]

    def read_ranges(self, asset: Asset, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Half-open byte ranges, in the order asked; near ones share a request.

        Raises:
            BadRaster: a range reaches beyond the end, or the file changed while it was read.
        """
        if not ranges:
            return []
        file = self._file(asset)
        for start, stop in ranges:
            if not 0 <= start <= stop <= file.size:
                raise BadRaster(
                    f"bytes {start} to {stop} of a file of {file.size}: it is truncated, or its "
                    "header is wrong",
                    asset=bare(asset.href),
                )
        pieces = planned(ranges, len(file.head))
        if len(pieces) > 1:
            fetched = list(self._pool.map(lambda piece: self._piece(asset, file, piece), pieces))
        else:
            fetched = [self._piece(asset, file, piece) for piece in pieces]
        blocks = [(0, file.head), *((p[0], data) for p, data in zip(pieces, fetched, strict=True))]
        return [_cut(blocks, start, stop) for start, stop in ranges]

    def _file(self, asset: Asset) -> _File:
        with self._lock:
            known = self._files.get(asset.href)
            if known is not None:
                self._files.move_to_end(asset.href)
                return known
        headers = {"Range": f"bytes=0-{HEAD_BYTES - 1}"}
        reply = self._get(asset, headers, lambda r: _range_fault(r, (0, HEAD_BYTES), None))
        _, _, size = _content_range(reply)
        etag = reply.headers.get("etag")
        file = _File(size, etag, reply.body)
        if size == len(reply.body):
            _check_md5(asset, reply)
        with self._lock:
            self._files[asset.href] = file
            while len(self._files) > _KNOWN_FILES:
                self._files.popitem(last=False)
        return file

    def _piece(self, asset: Asset, file: _File, piece: tuple[int, int]) -> bytes:
        headers = {"Range": f"bytes={piece[0]}-{piece[1] - 1}"}
        if file.etag and not file.etag.startswith("W/"):
            headers["If-Match"] = file.etag
        reply = self._get(asset, headers, lambda r: _range_fault(r, piece, file))
        if reply.headers.get("etag") != file.etag:
            raise self._changed(asset)
        return reply.body

    def _get(
        self, asset: Asset, headers: dict[str, str], complaint: Callable[[Reply], str | None]
    ) -> Reply:
        """A ranged GET, signed again once if it is refused; answers 206 or raises."""
        provider, signer = providers()[asset.provider], self._signers[asset.provider]
        for last in (False, True):
            signed = signer.sign(asset.href)
            ask = Ask(
                signed.url,
                headers={**headers, **signed.headers},
                max_bytes=PIECE_BYTES + GAP_BYTES,
                file=True,
            )
            reply = self._http.request(ask, provider, complaint)
            # Azure answers 409 to an unsigned request where public access is switched off.
            if reply.status not in {401, 403, 409} or last or not signer.renew(asset.href, signed):
                break
        if reply.status == 206:
            return reply
        raise self._refusal(asset, reply.status)

    def _refusal(self, asset: Asset, status: int) -> Exception:
        where = {"provider": asset.provider, "asset": bare(asset.href)}
        if status in {404, 410}:
            return AssetMissing("the item promises a file that is not there", **where)
        if status == 412:
            return self._changed(asset)
        if status == 416:
            return BadRaster("the file is empty, or shorter than its first answer said", **where)
        title = providers()[asset.provider].title
        return ProviderRejected(f"{title} refused a file with HTTP {status}", **where)

    def _changed(self, asset: Asset) -> BadRaster:
        with self._lock:
            self._files.pop(asset.href, None)
        return BadRaster(
            "the file changed while it was read: run the item again",
            provider=asset.provider,
            asset=bare(asset.href),
        )


def planned(ranges: Sequence[tuple[int, int]], head: int) -> list[tuple[int, int]]:
    """Requests for half-open ranges: disjoint, in order, near ones joined, none above 16 MiB.

    Args:
        ranges: What is wanted; may overlap and be in any order.
        head: That many bytes of the file are here already.
    """
    wanted = sorted((max(start, head), stop) for start, stop in ranges if stop > max(start, head))
    runs: list[tuple[int, int]] = []
    for start, stop in wanted:
        if runs and start - runs[-1][1] <= GAP_BYTES:
            runs[-1] = (runs[-1][0], max(stop, runs[-1][1]))
        else:
            runs.append((start, stop))
    return [
        (at, min(at + PIECE_BYTES, stop))
        for start, stop in runs
        for at in range(start, stop, PIECE_BYTES)
    ]


def _cut(blocks: Sequence[tuple[int, bytes]], start: int, stop: int) -> bytes:
    """Bytes start to stop out of blocks that lie in order and cover them."""
    parts = []
    for at, data in blocks:
        if at < stop and at + len(data) > start:
            parts.append(data[max(0, start - at) : stop - at])
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _range_fault(reply: Reply, asked: tuple[int, int], file: _File | None) -> str | None:
    """What is wrong with a 2xx answer to a ranged read; None if it is just what was asked for."""
    if reply.status != 206:
        return f"HTTP {reply.status} to a ranged read"
    try:
        start, stop, size = _content_range(reply)
    except ValueError:
        return "an unreadable Content-Range"
    if start != asked[0] or stop != min(asked[1], size):
        return f"bytes {start} to {stop} where {asked[0]} to {asked[1]} were asked for"
    if file is not None and size != file.size:
        return f"a file of {size} bytes that had {file.size}"
    if len(reply.body) != stop - start:
        return f"{len(reply.body)} of {stop - start} bytes"
    return None


def _content_range(reply: Reply) -> tuple[int, int, int]:
    """Start, stop (half-open) and size of the whole file."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", reply.headers.get("content-range", ""))
    if not match:
        raise ValueError("Content-Range")
    return int(match[1]), int(match[2]) + 1, int(match[3])


def _check_md5(asset: Asset, reply: Reply) -> None:
    """Azure sends the MD5 of the whole blob; where one answer holds it whole, it must fit."""
    sent = reply.headers.get("x-ms-blob-content-md5") or reply.headers.get("content-md5")
    digest = hashlib.md5(reply.body, usedforsecurity=False).digest()
    if sent and sent != base64.b64encode(digest).decode():
        raise BadRaster("the file's MD5 is not the one announced", asset=bare(asset.href))

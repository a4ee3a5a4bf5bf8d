"""Pictures of items, by rio-tiler and the item's own `renders`.

    /preview/{collection}/{item}.png?render=true-colour&size=512
    /preview/{collection}.png            the clearest optical crop of a cell

They are made when they are asked for: nothing is stored beside the COGs.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rio_tiler.colormap import cmap
from rio_tiler.io import Reader
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from stac_lake.catalog.index import Index
from stac_lake.catalog.search import Search, search
from stac_lake.errors import KeyMissing, QueryError

MAX_SIZE = 1024
"""Pixels along the longer side that a request may ask for."""

_USUAL_SIZE = (256, 512)
"""Least and most of the longer side, if a request asks for none; enlarged by whole pixels."""

_ENCODING = Lock()
"""rio-tiler silences GDAL's warning of a PNG without coordinates by a switch of the process."""

_FRESH_S = 300
"""For how long a picture is not asked for again; the item may get a new version at any time."""


class Previews:
    """Answers requests for pictures.

    Args:
        index: Of the lake.
        version: Of the index; None follows the newest.
    """

    def __init__(self, index: Index, version: int | None = None) -> None:
        self._index = index
        self._version = version

    def of_item(self, request: Request) -> Response:
        """The picture of an item.

        Raises:
            HTTPException: 404, there is no such item or render.
            QueryError: the size is not valid.
            StoreUnavailable.
        """
        path = request.path_params
        item = self._first(ids=[path["item"]], collections=[path["collection"]])
        return self._answer(item, request)

    def of_collection(self, request: Request) -> Response:
        """The picture of a cell: its clearest optical crop, or else that of its first item.

        Raises:
            HTTPException: 404, the lake has no items there.
            QueryError: the size is not valid.
            StoreUnavailable.
        """
        code = [request.path_params["collection"]]
        optical = {"products": ["s2-l2a", "s2-l1c", "landsat-c2-l2"], "sortby": ["eo:cloud_cover"]}
        item = self._first(collections=code, **optical) or self._first(collections=code)
        return self._answer(item, request)

    def _first(self, **conditions: Any) -> dict[str, Any] | None:
        wanted = Search(**conditions, limit=1, version=self._version)
        items = search(self._index, wanted).items
        return items[0] if items else None

    def _answer(self, item: Mapping[str, Any] | None, request: Request) -> Response:
        if item is None:
            raise HTTPException(404, f"no items at {request.url.path}")
        query = request.query_params
        how = _render(item, query.get("render"))
        size = _size(query.get("size"))
        asset = item["assets"][how["assets"][0]]
        told = json.dumps([asset.get("file:checksum"), how, size], sort_keys=True)
        etag = f'"{hashlib.sha256(told.encode()).hexdigest()[:16]}"'
        headers = {"ETag": etag, "Cache-Control": f"public, max-age={_FRESH_S}"}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        png = render(self._bytes(item["id"], asset["href"]), how, size)
        return Response(png, headers=headers, media_type="image/png")

    def _bytes(self, item_id: str, href: str) -> bytes:
        """The COG; all of it, as a crop has a few MB and most of its tiles are wanted."""
        objects = self._index.objects
        key = href.removeprefix(f"{objects.url}/")
        try:
            if key != href:
                return objects.get(key)
        except KeyMissing as error:
            raise HTTPException(404, str(error)) from error
        raise HTTPException(404, f"the pixels of {item_id} are not in the lake's own store")


def render(cog: bytes, how: Mapping[str, Any], size: int | None) -> bytes:
    """A PNG of a COG; transparent where one of the bands has no value.

    Args:
        cog: The file.
        how: An object of the render extension: `bidx`, `rescale` (one pair per band, or one for
            all), `colormap_name`.
        size: Pixels of the longer side; None enlarges or reduces to a usual size.
    """
    with MemoryFile(cog) as file, file.open() as dataset, Reader(None, dataset=dataset) as reader:
        longer = max(dataset.shape)
        target = size or _usual(longer)
        height, width = (max(1, round(side * target / longer)) for side in dataset.shape)
        # Pixels of a coarse grid are shown as what they are.
        how_resampled = Resampling.nearest if target >= longer else Resampling.average
        image = reader.preview(
            indexes=tuple(how["bidx"]),
            height=height,
            width=width,
            max_size=None,
            resampling_method=how_resampled.name,
        )
    # Below the mask lies NaN, which no byte can hold.
    image.array = np.ma.MaskedArray(image.array.filled(0), image.array.mask)
    image.rescale(in_range=[tuple(pair) for pair in how["rescale"]])
    name = how.get("colormap_name")
    with _ENCODING:
        png: bytes = image.render(img_format="PNG", colormap=cmap.get(name) if name else None)
    return png


def _render(item: Mapping[str, Any], name: str | None) -> Mapping[str, Any]:
    """One of the item's renders, the first by default."""
    renders: Mapping[str, Mapping[str, Any]] = item["properties"].get("renders", {})
    found = next(iter(renders.values()), None) if name is None else renders.get(name)
    if found is None:
        raise HTTPException(
            404, f"{item['id']} has no render {name or ''!r}: there are {', '.join(renders)}"
        )
    return found


def _size(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:5]) <= MAX_SIZE:
        raise QueryError(f"size {text[:20]!r}: expected 1 to {MAX_SIZE} pixels")
    return int(text)


def _usual(longer: int) -> int:
    least, most = _USUAL_SIZE
    return min(longer * math.ceil(least / longer), most)

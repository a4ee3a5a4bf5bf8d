"""A lake as its readers see it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack
from urllib.parse import urlsplit

from stac_lake.catalog.cell_search import CellAnswer, CellSearch, search_cells
from stac_lake.catalog.cells import cell_collections
from stac_lake.catalog.index import Index
from stac_lake.catalog.search import Page, Search, count, search
from stac_lake.errors import CatalogError, QueryError
from stac_lake.grid import Cell
from stac_lake.quality.filter import Filter
from stac_lake.store.objects import Objects

if TYPE_CHECKING:
    import pystac
    import pystac_client
    import xarray

_PAGE = 1000
"""Items that an iteration fetches at a time: about 10 MB of JSON."""


def open_lake(url: str | Path, *, cache: Path | None = None) -> Lake:
    """Open a lake for reading; nothing is read yet.

    Args:
        url: A path or ``s3://bucket/prefix``.
        cache: Folder for copies of the index of a lake on S3; None takes the user's cache.

    Raises:
        ConfigError: the URL is not a place for a lake.
    """
    return Lake(Index(Objects.open(str(url)), cache))


@dataclass(frozen=True)
class ItemSearch:
    """The answer to `Lake.search`: iterate it for documents; nothing is asked before.

    Attributes:
        index: What is asked.
        wanted: What for.
        max_items: Items after which the iteration stops, None for all.
    """

    index: Index
    wanted: Search
    max_items: int | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number, item in enumerate(item for page in self.pages() for item in page.items):
            if number == self.max_items:
                return
            yield item

    def pages(self) -> Iterator[Page]:
        """Pages of documents, all of one version of the index; `max_items` does not cut them."""
        if self.max_items == 0:
            return
        page = search(self.index, self.wanted)
        yield page
        while page.next:
            page = search(self.index, replace(self.wanted, token=page.next))
            yield page

    def items(self) -> Iterator[pystac.Item]:
        """The same as `pystac.Item`."""
        import pystac

        return (pystac.Item.from_dict(item) for item in self)

    def matched(self) -> int:
        """How many items match, `max_items` aside."""
        return count(self.index, self.wanted)

    @cached_property
    def not_applied(self) -> tuple[str, ...]:
        """Products with no items here because they lack a property that the filter asks for."""
        return search(self.index, replace(self.wanted, limit=1)).not_applied


class Conditions(TypedDict, total=False):
    """What `Lake.search` asks for besides the filter; see `stac_lake.catalog.search.Search`."""

    products: Sequence[str] | str | None
    ids: Sequence[str] | str | None
    bbox: Sequence[float] | None
    intersects: Mapping[str, Any] | None
    datetime: str | None
    sortby: Sequence[str] | str | None


@dataclass(frozen=True)
class Lake:
    """A lake of items.

    Attributes:
        index: What is asked.
        version: Of the index; None follows the newest.
    """

    index: Index
    version: int | None = None

    def at(self, version: int) -> Lake:
        """The lake as it was at a version of its index, whatever is harvested later."""
        return replace(self, version=version)

    def search(
        self,
        filter: Filter | None = None,  # noqa: A002 (the name that STAC gives it)
        *,
        cells: Iterable[Cell | int] | None = None,
        max_items: int | None = None,
        **conditions: Unpack[Conditions],
    ) -> ItemSearch:
        """Find items.

        Args:
            filter: CQL2 text or JSON, or one per product: ``{"s2-l2a": "eo:cloud_cover < 10"}``.
            cells: Cells or their ids.
            max_items: Stop after so many.
            **conditions: All must hold; a single text stands for a list of one.

        Raises:
            GridError: there is no such cell.
            QueryError: when the answer is read, if a condition is not valid.
        """
        codes = None if cells is None else [_cell(cell).collection_id for cell in cells]
        wanted = Search(
            collections=codes,
            products=_list(conditions.get("products")),
            ids=_list(conditions.get("ids")),
            sortby=_list(conditions.get("sortby")) or (),
            bbox=conditions.get("bbox"),
            intersects=conditions.get("intersects"),
            datetime=conditions.get("datetime"),
            filter=filter,
            limit=min(max_items or _PAGE, _PAGE),
            version=self.version,
        )
        return ItemSearch(self.index, wanted, max_items)

    def cells(self, **conditions: Any) -> CellAnswer:
        """Cells by what they hold: counts of slots, patches and complete series.

        Args:
            **conditions: Of `stac_lake.catalog.cell_search.CellSearch`: ``aligned``, ``accept``,
                ``without``, ``having``, ``where``, ``bbox``, ``datetime`` …

        Raises:
            QueryError: a condition is not valid.
            ConfigError: a product, modality or recipe is unknown.
        """
        return search_cells(self.index, CellSearch(**{"version": self.version, **conditions}))

    def cell(self, cell: Cell | int) -> dict[str, Any]:
        """The STAC Collection of a cell.

        Raises:
            CatalogError: the lake has no items there.
            GridError: there is no such cell.
        """
        wanted = _cell(cell)
        found = cell_collections(self.index, [wanted], self.version)
        if not found:
            raise CatalogError("the lake has no items in this cell", cell=wanted.id)
        return found[0]

    def client(self) -> pystac_client.Client:
        """A pystac-client on the lake's STAC API, in this process: no server, no port.

        It answers as of `version`, too.
        """
        from pystac_client import Client
        from pystac_client.stac_api_io import StacApiIO

        from stac_lake.serve.app import make_app
        from stac_lake.serve.inprocess import AsgiAdapter

        api = StacApiIO(max_retries=None)
        api.session.mount("http://lake", AsgiAdapter(make_app(self.index, self.version)))
        return Client.open("http://lake/", stac_io=api)

    def open(
        self,
        items: Iterable[Mapping[str, Any]],
        *,
        bands: Sequence[str] | None = None,
        **options: Any,
    ) -> xarray.Dataset:
        """Items as one lazy dataset, a variable per band, through odc-stac.

        Args:
            items: Documents, as from `search`; of one product, unless a geobox is given.
            bands: Names of the bands (``B04``, or common names), all by default.
            **options: Of `odc.stac.load`: ``geobox``, ``crs``, ``resolution``, ``groupby`` …

        Returns:
            Variables with dimensions (time, y, x).

        Raises:
            QueryError: there are no items.
        """
        import odc.stac
        import pystac

        odc.stac.configure_rio(cloud_defaults=True, **_gdal_options(self.index.objects))
        parsed = [pystac.Item.from_dict(dict(item)) for item in items]
        if not parsed:
            raise QueryError("nothing to open: no items")
        wanted = None if bands is None else list(bands)
        return odc.stac.load(parsed, bands=wanted, **{"chunks": {}, **options})

    def stack(
        self, items: Iterable[Mapping[str, Any]], bands: Sequence[str], **options: Any
    ) -> xarray.DataArray:
        """Items as one lazy array through stackstac, which reads one band per asset.

        Args:
            items: Documents, as from `search`, all in one CRS unless ``epsg`` is given.
            bands: Names of the bands.
            **options: Of `stackstac.stack`: ``epsg``, ``bounds``, ``rescale`` …

        Returns:
            Dimensions (time, band, y, x); all numbers are float64, nodata is NaN.

        Raises:
            QueryError: there are no items, or one has no such band.
        """
        import stackstac

        views = [band_views(item, bands) for item in items]
        if not views:
            raise QueryError("nothing to stack: no items")
        defaults = {
            "epsg": views[0]["properties"]["proj:epsg"],
            # Stored numbers, as `open` gives them: scale and offset are in the items.
            "rescale": False,
            "gdal_env": stackstac.DEFAULT_GDAL_ENV.updated(_gdal_options(self.index.objects)),
        }
        array: xarray.DataArray = stackstac.stack(views, assets=list(bands), **(defaults | options))
        return array


def band_views(item: Mapping[str, Any], bands: Sequence[str]) -> dict[str, Any]:
    """An item with one asset per band, each a GDAL view of one band of its file.

    Raises:
        QueryError: the item has no such band.
    """
    data = item["assets"]["data"]
    names = [band["name"] for band in data["bands"]]
    missing = sorted(set(bands) - set(names))
    if missing:
        raise QueryError(
            f"no band {', '.join(missing)}: there are {', '.join(names)}", item=item["id"]
        )
    path = data["href"].removeprefix("file://").replace("s3://", "/vsis3/", 1)
    assets = {}
    for name in bands:
        number = names.index(name)
        assets[name] = {
            **data,
            "href": f"vrt://{path}?bands={number + 1}",
            **{
                key: [data[key][number]]
                for key in ("bands", "eo:bands", "raster:bands")
                if key in data
            },
        }
    return {**item, "assets": assets}


def _gdal_options(objects: Objects) -> dict[str, Any]:
    """What GDAL has to be told about an S3 endpoint that boto3 finds by itself."""
    endpoint = objects.storage_options().get("AWS_ENDPOINT")
    if not endpoint:
        return {}
    parts = urlsplit(endpoint)
    return {
        "AWS_S3_ENDPOINT": parts.netloc,
        "AWS_HTTPS": "YES" if parts.scheme == "https" else "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }


def _list(value: Sequence[str] | str | None) -> Sequence[str] | None:
    return [value] if isinstance(value, str) else value


def _cell(cell: Cell | int) -> Cell:
    return cell if isinstance(cell, Cell) else Cell(cell)

"""Item search in the three dialects: what is asked, and how pages follow each other.

pystac-client would follow `next` links in both POST forms, but it sends them through `requests`,
with that library's own redirects and retries, and to any host that a link names; here each request
has to pass `http`, so the paging is spelled out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from stac_lake.errors import ProviderRejected, ProviderUnavailable
from stac_lake.grid import Bounds
from stac_lake.recipe import Provider, SourceCollection
from stac_lake.types import Window, iso
from stac_lake.upstream.http import Ask, Http, Reply

_JOIN_GAP = timedelta(days=45)
_JOIN_SPAN = timedelta(days=400)
_JOIN_DEGREES = 5.0
_REACH_DEGREES = 10.0
"""How far across ±180° a scene reaches: 250 km of Sentinel-1 at 76°, a Sentinel-2 tile at 84°."""
_STRIP_DEGREES = 0.01
_MAX_PAGES = 1000
_COUNT_IS_EXACT = 10_000
"""OpenSearch stops counting there unless told otherwise."""


def available(windows: Sequence[Window], source: SourceCollection) -> list[Window]:
    """What of the windows the source covers, by its `since` and `until`."""
    first = _midnight(source.since) if source.since else datetime.min.replace(tzinfo=UTC)
    last = _midnight(source.until) if source.until else datetime.max.replace(tzinfo=UTC)
    cut = [Window(max(w.start, first), min(w.end, last)) for w in windows]
    return [window for window in cut if window.start < window.end]


def bodies(
    provider: Provider,
    source: SourceCollection,
    boxes: Sequence[Bounds],
    windows: Sequence[Window],
    max_cloud_pct: float | None,
) -> Iterator[dict[str, Any]]:
    """The search requests that together cover all boxes and windows.

    Near boxes share one (the two halves of a cell on the antimeridian do not), and so do near
    windows: a season of three years costs three, as long intervals are what makes the Planetary
    Computer time out.
    """
    spans: list[Window | None] = [*joined_windows(windows)]
    for box in joined_boxes([*boxes, *_opposite(boxes)]):
        for span in spans or [None]:
            body: dict[str, Any] = {
                "collections": [source.collection],
                "bbox": list(box),
                "limit": provider.page_limit,
            }
            if span is not None:
                body["datetime"] = f"{iso(span.start)}/{iso(span.last)}"
            yield body | _filter(provider, source, max_cloud_pct)


def items(http: Http, provider: Provider, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All Items that a search finds, each id once, page after page.

    Raises:
        ProviderUnavailable: no answer, pages that go in circles, or fewer items than counted.
        ProviderRejected: the request is refused.
    """
    seen: set[str] = set()
    asked: set[str] = set()
    matched: int | None = None
    request: dict[str, Any] | None = body
    while request is not None:
        key = json.dumps(request, sort_keys=True)
        if key in asked or len(asked) >= _MAX_PAGES:
            raise ProviderUnavailable(
                f"{provider.title} pages without end: search a smaller area",
                provider=provider.id,
                collection=body["collections"][0],
            )
        asked.add(key)
        page = _page(http, provider, request)
        if matched is None and isinstance(page.get("numberMatched"), int):
            matched = page["numberMatched"]
        for document in page["features"]:
            identifier = str(document.get("id")) if isinstance(document, dict) else ""
            if identifier and identifier not in seen:
                seen.add(identifier)
                yield document
        # Earth Search may lead to one more page, which is empty and is the end.
        request = _next(page, request, provider) if page["features"] else None
    if matched is not None and len(seen) < matched < _COUNT_IS_EXACT:
        raise ProviderUnavailable(
            f"{provider.title} gave {len(seen)} of {matched} items: try again",
            provider=provider.id,
            collection=body["collections"][0],
        )


def joined_windows(windows: Sequence[Window]) -> list[Window]:
    """Windows in order, joined where little time lies between them and none becomes long."""
    spans: list[Window] = []
    for window in sorted(windows):
        last = spans[-1] if spans else None
        if (
            last is not None
            and window.start - last.end <= _JOIN_GAP
            and max(window.end, last.end) - last.start <= _JOIN_SPAN
        ):
            spans[-1] = Window(last.start, max(window.end, last.end))
        else:
            spans.append(window)
    return spans


def joined_boxes(boxes: Sequence[Bounds]) -> list[Bounds]:
    """Boxes merged as long as they fit into one of 5° × 5°."""
    merged: list[Bounds] = []
    for box in sorted(set(boxes)):
        for index, other in enumerate(merged):
            west, south = min(box[0], other[0]), min(box[1], other[1])
            east, north = max(box[2], other[2]), max(box[3], other[3])
            if east - west <= _JOIN_DEGREES and north - south <= _JOIN_DEGREES:
                merged[index] = (west, south, east, north)
                break
        else:
            merged.append(box)
    return merged


def _opposite(boxes: Sequence[Bounds]) -> list[Bounds]:
    """Strips along the other side of ±180°, for boxes that a scene from there may reach.

    The Planetary Computer writes footprints that cross it in one piece (180° to 181.4° W is 180° to
    178.6° E), finds them on one side only, and takes no box beyond ±180° (PlanetaryComputer#296 and
    #465). What does not reach a box after all is sorted out by its split footprint.
    """
    strips: list[Bounds] = []
    for west, south, east, north in boxes:
        if east > 180.0 - _REACH_DEGREES:
            strips.append((-180.0, south, -180.0 + _STRIP_DEGREES, north))
        if west < -180.0 + _REACH_DEGREES:
            strips.append((180.0 - _STRIP_DEGREES, south, 180.0, north))
    return strips


def _filter(
    provider: Provider, source: SourceCollection, max_cloud_pct: float | None
) -> dict[str, Any]:
    """Property filters in the provider's dialect; Earth Search ignores CQL2 without a word."""
    if provider.filter == "query":
        query: dict[str, Any] = {name: {"eq": value} for name, value in source.filters.items()}
        if max_cloud_pct is not None:
            query["eo:cloud_cover"] = {"lte": max_cloud_pct}
        return {"query": query} if query else {}
    clauses: list[dict[str, Any]] = [
        {"op": "=", "args": [{"property": name}, value]} for name, value in source.filters.items()
    ]
    if max_cloud_pct is not None:
        clauses.append({"op": "<=", "args": [{"property": "eo:cloud_cover"}, max_cloud_pct]})
    if not clauses:
        return {}
    tree = clauses[0] if len(clauses) == 1 else {"op": "and", "args": clauses}
    return {"filter-lang": "cql2-json", "filter": tree}


def _page(http: Http, provider: Provider, body: dict[str, Any]) -> dict[str, Any]:
    ask = Ask(
        f"{provider.api}/search",
        "POST",
        {"Content-Type": "application/json", "Accept": "application/geo+json, application/json"},
        json.dumps(body).encode(),
    )
    reply = http.request(ask, provider, _no_page)
    if reply.status != 200:
        said = reply.body[:200].decode("utf-8", "replace")
        raise ProviderRejected(
            f"{provider.title} refused the search with HTTP {reply.status}: {said!r}",
            provider=provider.id,
            collection=body["collections"][0],
        )
    page: dict[str, Any] = json.loads(reply.body)
    return page


def _no_page(reply: Reply) -> str | None:
    """A timeout of the Planetary Computer may arrive as text, a cut body as half a document."""
    try:
        page = json.loads(reply.body)
    except ValueError:
        return "an answer that is not JSON"
    if not isinstance(page, dict) or not isinstance(page.get("features"), list):
        return "an answer that is no FeatureCollection"
    return None


def _next(
    page: dict[str, Any], request: dict[str, Any], provider: Provider
) -> dict[str, Any] | None:
    """The body of the next page.

    Earth Search sends ``merge: false`` and a whole body with `next`; the pgstac APIs a whole body
    with `token` and no `merge`; ``merge: true`` means to add to what was sent. The link's href is
    not followed: pages come from where the first came from, and a Planetary Computer link has been
    recorded that names a route which refuses POST.
    """
    links = page.get("links")
    for link in links if isinstance(links, list) else []:
        if not isinstance(link, dict) or link.get("rel") != "next":
            continue
        body = link.get("body")
        if not isinstance(body, dict):
            raise ProviderRejected(
                f"{provider.title} offers a next page without a body to POST", provider=provider.id
            )
        following = {**request, **body} if link.get("merge") else body
        # Without collections the next page would be of the whole catalogue.
        return {**following, "collections": request["collections"]}
    return None


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)

"""STAC Browser beside the API, if it was built: static files, and settings made for this server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from stac_lake.errors import ConfigError

_SETTINGS: dict[str, Any] = {
    "catalogTitle": "stac-lake",
    # Links out of the lake, to the providers' catalogues, open as ordinary pages.
    "allowExternalAccess": False,
    "itemsPerPage": 24,
    "collectionsPerPage": 24,
    "socialSharing": [],
    # Polar patches; the map knows UTM by itself.
    "crs": {
        "EPSG:3413": "+proj=stere +lat_0=90 +lat_ts=70 +lon_0=-45 +datum=WGS84 +units=m +no_defs",
        "EPSG:3031": "+proj=stere +lat_0=-90 +lat_ts=-71 +lon_0=0 +datum=WGS84 +units=m +no_defs",
    },
}

_SCRIPT = """\
window.STAC_BROWSER_CONFIG = {
  ...%s,
  catalogUrl: new URL("../http/", window.location.href.split("#")[0]).href,
  // A COG on the map looks as the item's first render says.
  getMapSourceOptions: (type, options, asset) => {
    const renders = asset.getContext()?.getMetadata("renders");
    const render = renders && Object.values(renders)[0];
    for (const source of render && options.sources || []) {
      source.bands = render.bidx;
      [source.min, source.max] = render.rescale[0];
      // What the file says is nodata, NaN included, which JSON has no number for.
      delete source.nodata;
    }
    return options;
  }
};
"""

_NOT_BUILT = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>stac-lake</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 40em; margin: 4em auto }}</style>
<h1>STAC Browser is not built yet</h1>
<p>It needs Node.js 18 and two minutes, once. In a checkout of stac-lake:</p>
<pre>make browser</pre>
<p>This puts it where <code>stac-lake serve</code> looks: <code>{folder}</code>.
A build that lies elsewhere is named by <code>--browser DIR</code>.</p>
<p>Without it: the <a href="../">STAC API</a>, and <a href="../http/">the same over HTTP alone</a>,
with pictures and COGs.</p>
"""


def default_folder() -> Path:
    """Where a build of STAC Browser is looked for: in the user's cache folder."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "stac-lake" / "browser"


def find_browser(folder: Path | None) -> Path | None:
    """A build of STAC Browser.

    Args:
        folder: Where it must be; None looks at the default place.

    Raises:
        ConfigError: it is not where it must be.
    """
    place = folder or default_folder()
    if (place / "index.html").is_file():
        return place
    if folder:
        raise ConfigError(f"no STAC Browser in {folder}: infra/browser/build.sh {folder} makes it")
    return None


def browser_routes(folder: Path | None) -> list[BaseRoute]:
    """What is answered below ``/browser``.

    Args:
        folder: A build of STAC Browser; None explains how to get one.
    """
    if folder is None:
        return [
            Route("/browser", _to_folder),
            Route("/browser/", _not_built),
        ]
    return [
        Route("/browser", _to_folder),
        Route("/browser/config.js", _settings),
        Mount("/browser", StaticFiles(directory=folder, html=True)),
    ]


async def _to_folder(_request: Request) -> Response:
    return RedirectResponse("browser/")


async def _settings(_request: Request) -> Response:
    script = _SCRIPT % json.dumps(_SETTINGS)
    return Response(script, media_type="text/javascript", headers={"Cache-Control": "no-cache"})


async def _not_built(_request: Request) -> Response:
    return HTMLResponse(_NOT_BUILT.format(folder=default_folder()), 404)

"""All that `stac-lake serve` answers on one port.

    /          the STAC API; items are what every door of the lake gives
    /http/     the same API, its hrefs on this server
    /data/     COGs, with ranges
    /preview/  pictures
    /browser/  STAC Browser, on /http/

Each has a base URL of its own, which follows from the request: a proxy or a prefix changes nothing.
"""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from stac_lake.catalog.index import Index
from stac_lake.serve.app import explain_errors, make_app
from stac_lake.serve.assets import Assets
from stac_lake.serve.browser import browser_routes, find_browser
from stac_lake.serve.over_http import HttpClient
from stac_lake.serve.previews import Previews
from stac_lake.store.objects import Objects


def make_site(index: Index, browser: Path | None = None, version: int | None = None) -> Starlette:
    """API, COGs, previews and STAC Browser.

    Args:
        index: Of the lake.
        browser: A build of STAC Browser; None looks in the user's cache folder.
        version: Of the index; None follows the newest.

    Raises:
        ConfigError: there is no STAC Browser in the named folder.
    """
    assets, previews = Assets(index, version), Previews(index, version)
    pictures: list[BaseRoute] = [
        Route("/{collection}.png", previews.of_collection),
        Route("/{collection}/{item}.png", previews.of_item),
    ]
    return Starlette(
        routes=[
            Mount("/data", _readable([Route("/{key:path}", assets.answer)])),
            Mount("/preview", _readable(pictures)),
            *browser_routes(find_browser(browser)),
            Route("/http", _to_folder),
            Mount("/http", _Rooted(make_app(index, version, HttpClient))),
            Mount("/", make_app(index, version)),
        ]
    )


class _Rooted:
    """An application whose base URL is where it is mounted, and not the site's.

    Args:
        app: That answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # `Request.base_url` is made of `app_root_path`, which Starlette leaves at the outermost.
        await self._app({**scope, "app_root_path": scope["root_path"]}, receive, send)


def run(url: str, host: str = "127.0.0.1", port: int = 8080, browser: Path | None = None) -> None:
    """Serve a lake until interrupted.

    Raises:
        ConfigError: the URL is not a place for a lake, or there is no STAC Browser in the folder.
    """
    import uvicorn

    site = make_site(Index(Objects.open(url)), browser)
    uvicorn.run(site, host=host, port=port, log_level="warning")


def _readable(routes: list[BaseRoute]) -> Starlette:
    """Routes that pages of other origins may read, in ranges, too."""
    ranges = ["Range", "If-Range", "If-None-Match"]
    told = ["Accept-Ranges", "Content-Range", "Content-Length", "ETag"]
    allow = Middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "HEAD"],
        allow_headers=ranges,
        expose_headers=told,
        max_age=600,
    )
    app = Starlette(routes=routes, middleware=[allow])
    explain_errors(app)
    return app


async def _to_folder(_request: Request) -> Response:
    return RedirectResponse("http/")

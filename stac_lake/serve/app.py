"""The STAC API of a lake: stac-fastapi's routes over `LakeClient`, read-only."""

from __future__ import annotations

from http import HTTPStatus
from importlib.metadata import version as version_of
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from stac_fastapi.api.app import StacApi
from stac_fastapi.api.middleware import ProxyHeaderMiddleware
from stac_fastapi.api.models import (
    ItemCollectionUri,
    create_get_request_model,
    create_post_request_model,
)
from stac_fastapi.extensions.collection_search import CollectionSearchConformanceClasses
from stac_fastapi.extensions.fields import FieldsConformanceClasses, FieldsExtension
from stac_fastapi.extensions.filter import FilterConformanceClasses, FilterExtension
from stac_fastapi.extensions.free_text import FreeTextConformanceClasses
from stac_fastapi.extensions.pagination import TokenPaginationExtension
from stac_fastapi.extensions.query import QueryConformanceClasses, QueryExtension
from stac_fastapi.extensions.sort import SortConformanceClasses, SortExtension
from stac_fastapi.types.config import ApiSettings
from stac_fastapi.types.errors import NotFoundError
from stac_fastapi.types.extension import ApiExtension
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from stac_lake.catalog.index import Index
from stac_lake.errors import CatalogError, ConfigError, QueryError, StoreUnavailable
from stac_lake.serve.client import LakeClient
from stac_lake.serve.limits import BodyLimit
from stac_lake.serve.queryables import CollectionSearch, Queryables
from stac_lake.serve.requests import CollectionsGet, FilterPost, SearchPost
from stac_lake.store.objects import Objects

_FILTER_CONFORMANCE: list[str] = [
    FilterConformanceClasses.FILTER,
    FilterConformanceClasses.SEARCH,
    FilterConformanceClasses.ITEMS,
    FilterConformanceClasses.BASIC_CQL2,
    FilterConformanceClasses.CQL2_JSON,
    FilterConformanceClasses.CQL2_TEXT,
    FilterConformanceClasses.ADVANCED_COMPARISON_OPERATORS,
    FilterConformanceClasses.CASE_INSENSITIVE_COMPARISON,
    FilterConformanceClasses.ACCENT_INSENSITIVE_COMPARISON,
    FilterConformanceClasses.BASIC_SPATIAL_FUNCTIONS,
    FilterConformanceClasses.SPATIAL_FUNCTIONS,
    FilterConformanceClasses.TEMPORAL_FUNCTIONS,
    FilterConformanceClasses.ARRAY_FUNCTIONS,
    FilterConformanceClasses.PROPERTY_PROPERTY,
    FilterConformanceClasses.ARITHMETIC,
]

_SORT_CONFORMANCE: list[str] = [
    SortConformanceClasses.ITEM_SEARCH_SORT,
    SortConformanceClasses.FEATURES_SORT,
    # The release that pystac-client asks for.
    "https://api.stacspec.org/v1.0.0/item-search#sort",
]

_COLLECTIONS_CONFORMANCE: list[str] = [
    CollectionSearchConformanceClasses.COLLECTIONSEARCH,
    CollectionSearchConformanceClasses.BASIS,
    FilterConformanceClasses.COLLECTIONS,
    SortConformanceClasses.COLLECTION_SEARCH_SORT,
    FieldsConformanceClasses.COLLECTIONS,
    QueryConformanceClasses.COLLECTIONS,
    FreeTextConformanceClasses.COLLECTIONS,
]

_STATUS: dict[type[Exception], int] = {
    QueryError: 400,
    ConfigError: 400,
    NotFoundError: 404,
    CatalogError: 410,
    StoreUnavailable: 503,
}
"""A `CatalogError` on reading is an index version that a page token names and that is gone, a
`ConfigError` a product or modality that there is not."""


class _TextInBody(FilterExtension):
    """The filter extension, with CQL2 text in POST bodies, too."""

    POST = FilterPost


def make_app(
    index_or_url: Index | str | Path,
    version: int | None = None,
    client: type[LakeClient] = LakeClient,
) -> FastAPI:
    """The API of one lake.

    Args:
        index_or_url: An open index, or where the lake is.
        version: Of the index; None follows the newest.
        client: Who answers.

    Raises:
        ConfigError: the URL is not a place for a lake.
    """
    index = index_or_url if isinstance(index_or_url, Index) else _opened(str(index_or_url))
    extensions: list[ApiExtension] = [
        _TextInBody(client=Queryables(), conformance_classes=_FILTER_CONFORMANCE),
        SortExtension(conformance_classes=_SORT_CONFORMANCE),
        FieldsExtension(
            conformance_classes=[FieldsConformanceClasses.SEARCH, FieldsConformanceClasses.ITEMS]
        ),
        QueryExtension(
            conformance_classes=[QueryConformanceClasses.SEARCH, QueryConformanceClasses.ITEMS]
        ),
        TokenPaginationExtension(),
    ]
    of_collections = CollectionSearch(
        GET=CollectionsGet, conformance_classes=_COLLECTIONS_CONFORMANCE
    )
    api = StacApi(
        settings=_settings(),
        client=client(index=index, version=version, landing_page_id="stac-lake"),
        extensions=[*extensions, of_collections],
        exceptions={},
        search_get_request_model=create_get_request_model(extensions),
        search_post_request_model=create_post_request_model(extensions, SearchPost),
        items_get_request_model=create_get_request_model(extensions, ItemCollectionUri),
        collections_get_request_model=CollectionsGet,
        middlewares=[
            Middleware(BodyLimit),
            Middleware(GZipMiddleware, minimum_size=1024),
            Middleware(
                CORSMiddleware,
                allow_origins=["*"],
                allow_methods=["OPTIONS", "POST", "GET"],
                allow_headers=["Content-Type"],
                max_age=600,
            ),
            Middleware(ProxyHeaderMiddleware),
        ],
    )
    explain_errors(api.app)
    return api.app


def explain_errors(app: Starlette) -> None:
    """Let an application tell its errors as JSON, a code and a description."""
    for kind in _STATUS:
        app.add_exception_handler(kind, _explain)
    app.add_exception_handler(RequestValidationError, _explain_validation)
    app.add_exception_handler(HTTPException, _explain_status)


def _opened(url: str) -> Index:
    return Index(Objects.open(url))


def _settings() -> ApiSettings:
    # Given here so that neither a stray .env file nor the library's defaults name the API.
    return ApiSettings(
        _env_file=None,
        stac_fastapi_title="stac-lake",
        stac_fastapi_description="Sentinel crops on the ERA5 grid: one Collection per cell.",
        stac_fastapi_version=version_of("stac-lake"),
        stac_fastapi_landing_id="stac-lake",
        enable_direct_response=True,
    )


def _explain(_request: Request, error: Exception) -> JSONResponse:
    status = next(code for kind, code in _STATUS.items() if isinstance(error, kind))
    return JSONResponse({"code": type(error).__name__, "description": str(error)}, status)


def _explain_validation(_request: Request, error: Exception) -> JSONResponse:
    """A parameter or body of the wrong form; what was sent is not sent back."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    told = (f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in found)
    return JSONResponse({"code": "InvalidParameter", "description": "; ".join(told)}, 400)


def _explain_status(_request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses: an unknown path, a method that would write."""
    assert isinstance(error, HTTPException)
    content = {"code": HTTPStatus(error.status_code).phrase, "description": str(error.detail)}
    return JSONResponse(content, error.status_code, error.headers)

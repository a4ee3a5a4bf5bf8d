"""The facade of the room: scenes out of the public STAC APIs, and bytes out of their assets."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence

from stac_lake.errors import UpstreamError
from stac_lake.grid import Bounds
from stac_lake.recipe import Product, SourceCollection, known, providers
from stac_lake.types import Scene, Source, Window
from stac_lake.upstream.footprint import touches_any
from stac_lake.upstream.http import Ask, Http
from stac_lake.upstream.pace import Patience
from stac_lake.upstream.scene import read_item
from stac_lake.upstream.search import available, bodies, items
from stac_lake.upstream.signing import missing_credentials, signer_for
from stac_lake.upstream.source import AssetSource
from stac_lake.upstream.standin import Routes

log = logging.getLogger(__name__)


class Upstream:
    """The providers of `catalogs/providers`, or the stand-in that serves them all. Thread-safe.

    Args:
        stand_in: Root URL of the stand-in; None for the real providers.
        environ: Where credentials are looked up; the process's environment by default.
        patience: Attempts, waits and deadlines of one request.
    """

    def __init__(
        self,
        *,
        stand_in: str | None = None,
        environ: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self._http = Http(Routes(stand_in), patience or Patience())
        self._source = AssetSource(
            self._http,
            {p.id: signer_for(p, self._http, self._environ) for p in providers().values()},
        )

    def __reduce__(self) -> tuple[Callable[..., Upstream], tuple[str | None, Patience]]:
        # Keys do not travel: on another machine they are looked up in its own environment.
        return _rebuilt, (self._http.routes.base, self._http.patience)

    def missing_credentials(self, provider: str) -> str | None:
        """Name of the first environment variable that the provider needs and that is not set.

        Raises:
            ConfigError: there is no such provider.
        """
        return missing_credentials(known(provider, providers(), "provider"), self._environ)

    def search(
        self,
        product: Product,
        source: SourceCollection,
        boxes: Sequence[Bounds],
        windows: Sequence[Window],
        *,
        max_cloud_pct: float | None = None,
        limit: int | None = None,
    ) -> list[Scene]:
        """All scenes of one source in an area and time.

        Args:
            product: What they shall serve.
            source: One of its sources.
            boxes: West, south, east, north in degrees with west < east; a scene has a point in one.
            windows: The middle of a scene's acquisition lies in one; none means any time.
            max_cloud_pct: Scenes that say they are cloudier are left out.
            limit: At most so many are looked for, the provider's first ones.

        Returns:
            Scenes ordered by start and id. Reprocessings of one acquisition are all there: see
            `newest`.

        Raises:
            ProviderUnavailable: no answer in spite of all attempts; another time or provider may.
            ProviderRejected: the provider refuses the request.
        """
        provider = providers()[source.provider]
        spans = available(windows, source)
        if windows and not spans:
            return []
        scenes: dict[str, Scene] = {}
        for body in bodies(provider, source, boxes, spans, max_cloud_pct):
            for document in items(self._http, provider, body):
                scene = read_item(document, product, source)
                if isinstance(scene, str):
                    log.info("%s item %s: %s", provider.id, str(document.get("id"))[:200], scene)
                elif _asked_for(scene, boxes, spans, max_cloud_pct):
                    scenes[scene.id] = scene
                if limit is not None and len(scenes) >= limit:
                    return _ordered(scenes)
        return _ordered(scenes)

    @property
    def source(self) -> Source:
        """Bytes of the scenes' assets."""
        return self._source

    @property
    def traffic(self) -> dict[str, int]:
        """``requests`` sent and ``bytes_in`` received so far, all providers together."""
        return self._http.traffic

    def check(self, provider: str) -> str:
        """One line for people: does the provider answer, does it filter, are its keys set."""
        rules = known(provider, providers(), "provider")
        parts: list[str] = []
        try:
            reply = self._http.request(Ask(f"{rules.api}/"), rules)
            landing = json.loads(reply.body) if reply.status == 200 else {}
            parts.append(f"HTTP {reply.status}")
            parts.append(f"STAC {landing.get('stac_version', 'version unknown')}")
            wanted = "query" if rules.filter == "query" else "filter"
            conforms = any(wanted in str(uri) for uri in landing.get("conformsTo", ()))
            parts.append(f"{wanted} {'supported' if conforms else 'NOT announced'}")
        except (UpstreamError, ValueError) as error:
            parts.append(f"NOT reachable: {error}")
        missing = self.missing_credentials(provider)
        if missing:
            parts.append(f"files: {missing} is not set")
        else:
            parts.append("files: keys set" if rules.credentials else "files: no account needed")
        return f"{rules.id}: " + ", ".join(parts)


def _rebuilt(stand_in: str | None, patience: Patience) -> Upstream:
    return Upstream(stand_in=stand_in, patience=patience)


def _asked_for(
    scene: Scene,
    boxes: Sequence[Bounds],
    windows: Sequence[Window],
    max_cloud_pct: float | None,
) -> bool:
    """The answer filtered again: half-open windows, footprints, and filters that were ignored."""
    if windows and not any(scene.middle in window for window in windows):
        return False
    cloud = scene.properties.get("eo:cloud_cover")
    if max_cloud_pct is not None and cloud is not None and cloud > max_cloud_pct:
        return False
    return touches_any(scene.footprint, boxes)


def _ordered(scenes: Mapping[str, Scene]) -> list[Scene]:
    return sorted(scenes.values(), key=lambda scene: (scene.start, scene.id))

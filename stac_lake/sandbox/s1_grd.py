"""GRD products of the sandbox: their frame, and their files.

A product has, per polarisation, a measurement (`vv`, a COG with ground control points), an
annotation (`product-vv`), a calibration, a noise and an interference document, and one manifest
for each of the two ways in which its files are named: `manifest`, ESA's own, and `manifest-cog`,
with `-cog` behind each name, as CDSE has it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from stac_lake.sandbox.cog import LazyCog, RasterSpec
from stac_lake.sandbox.s1_annotation import (
    Annotated,
    calibration_document,
    interference_document,
    noise_document,
    product_document,
)
from stac_lake.sandbox.s1_frame import frame_of
from stac_lake.sandbox.s1_grid import grid_points, outline
from stac_lake.sandbox.s1_image import Image
from stac_lake.sandbox.s1_manifest import Listed, manifest_document
from stac_lake.sandbox.s1_radiometry import radiometry_of
from stac_lake.sandbox.scene import Blob, BytesBlob, SandboxScene
from stac_lake.sandbox.slots import REVISION, stored

DOCUMENTS: dict[str, tuple[str, str, Callable[[Annotated], bytes]]] = {
    "product": ("annotation/", "s1Level1ProductSchema", product_document),
    "calibration": (
        "annotation/calibration/calibration-", "s1Level1CalibrationSchema", calibration_document
    ),
    "noise": ("annotation/calibration/noise-", "s1Level1NoiseSchema", noise_document),
    "rfi": ("annotation/rfi/rfi-", "s1Level1RfiSchema", interference_document),
}  # fmt: skip
"""By kind: the path up to the image's name, the schema's id, and what writes it."""


def geometry(platform: str, mode: str, start: datetime) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a slice's image adds to its facts, and its footprint, from its own geometry."""
    points = grid_points(frame_of(platform, mode, start))
    corners = [(0, 0), (0, -1), (-1, -1), (-1, 0)]
    grid = {
        "corners": tuple((float(points.lon[at]), float(points.lat[at])) for at in corners),
        "shape": (points.line[-1, 0].astype(int) + 1, points.sample[0, -1].astype(int) + 1),
    }
    return grid, outline(points)


def image_name(scene: SandboxScene, polarization: str) -> str:
    """`s1a-iw-grd-vv-20210601t120000-20210601t120025-038150-04a5e0-001`."""
    facts = scene.facts
    number = facts["polarizations"].index(polarization.upper()) + 1
    times = f"{scene.start:%Y%m%dt%H%M%S}-{scene.stop:%Y%m%dt%H%M%S}"
    return (
        f"{facts['platform']}-{facts['mode']}-grd-{polarization}-{times}"
        f"-{facts['absolute_orbit']:06d}-{facts['datatake_id']:06x}-{number:03d}"
    ).lower()


def paths(scene: SandboxScene, suffix: str) -> dict[str, str]:
    """Name of each file for `blob` to its path in a product with ESA's names.

    Args:
        scene: The product.
        suffix: Behind the names of the images: `` or `-cog`.
    """
    found = {f"manifest{suffix}": "manifest.safe"}
    for polarization in scene.facts["polarizations"]:
        low = polarization.lower()
        name = image_name(scene, low) + suffix
        found[low] = f"measurement/{name}.tiff"
        for kind, (path, _, _) in DOCUMENTS.items():
            found[f"{kind}-{low}"] = f"{path}{name}.xml"
    return found


def blob(scene: SandboxScene, name: str, *, cache: Path) -> Blob:
    """A file of a product.

    Raises:
        KeyError: The product has no such file.
    """
    if name in ("manifest", "manifest-cog"):
        # Not kept: its making asks for the other documents, which are, and locks do not nest.
        return BytesBlob(_manifest(scene, name[8:], cache), "application/xml")
    kind, _, polarization = name.rpartition("-")
    if polarization.upper() not in scene.facts["polarizations"]:
        raise KeyError(f"{scene.id} has no file {name}")
    if not kind:
        return _measurement(scene, name, cache)
    write = DOCUMENTS[kind][2]
    return _kept(scene, name, cache, lambda: write(_annotated(scene, polarization)))


def _kept(scene: SandboxScene, name: str, cache: Path, make: Callable[[], bytes]) -> Blob:
    path = cache / f"{REVISION}/{scene.kind}/{scene.id}/{name}.xml"
    return BytesBlob(stored(path, make), "application/xml")


def _annotated(scene: SandboxScene, polarization: str) -> Annotated:
    facts, upper = scene.facts, polarization.upper()
    frame = frame_of(facts["platform"], facts["mode"], scene.start)
    return Annotated(
        radiometry_of(frame, upper in ("VH", "HV"), facts["first"], facts["last"]),
        upper,
        facts["polarizations"].index(upper) + 1,
        facts["absolute_orbit"],
        facts["datatake_id"],
    )


def _measurement(scene: SandboxScene, name: str, cache: Path) -> Blob:
    one = _annotated(scene, name)
    spec = RasterSpec(
        epsg=4326,
        origin=(0.0, 0.0),
        pixel=(1.0, 1.0),
        shape=(one.frame.mode.lines, one.frame.mode.samples),
        dtype="uint16",
        nodata=None,
        block=512,
        slot=0.75,
        ties=grid_points(one.frame).ties,
    )
    image = Image(one.radiometry, scene.start)
    return LazyCog(spec, image.paint, f"{scene.kind}/{scene.id}/{name}", cache)


def _manifest(scene: SandboxScene, suffix: str, cache: Path) -> bytes:
    files = {}
    for name, path in paths(scene, suffix).items():
        if path == "manifest.safe":
            continue
        kind = name.rpartition("-")[0]
        schema = DOCUMENTS[kind][1] if kind else "s1Level1MeasurementSchema"
        image = image_name(scene, name.rpartition("-")[2]).replace("-", "")
        files[f"{kind}{image}"] = Listed(path, schema, blob(scene, name, cache=cache))
    return manifest_document(scene, files)

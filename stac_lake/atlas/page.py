"""One HTML page with the pictures and counts of a lake's coverage: it asks nobody for anything."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path

from stac_lake.atlas.coverage import TITLES, Coverage
from stac_lake.atlas.pictures import coverage_map, histograms, modality_maps
from stac_lake.errors import StoreUnavailable

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 4rem; background: #fff;
  color: #262626; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; }
p { margin: .25rem 0; max-width: 46rem; }
.quiet { color: #6b6b6b; }
img { width: 100%; height: auto; display: block; margin-top: 1.25rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin-top: .5rem; }
th, td { padding: .3rem .9rem; text-align: right; border-bottom: 1px solid #e6e6e6; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { font-weight: 600; border-bottom: 2px solid #262626; }
""".strip()


def write_map(found: Coverage, out: Path, lake: str) -> list[Path]:
    """Write the three pictures, and ``index.html``, which holds them and the counts.

    Args:
        found: What to show.
        out: Folder, made if it is not there.
        lake: What the page calls the lake.

    Raises:
        StoreUnavailable: the folder cannot be written.
    """
    pictures = {
        "coverage.png": coverage_map(found),
        "modalities.png": modality_maps(found),
        "histograms.png": histograms(found),
    }
    files = {**pictures, "index.html": page(found, pictures, lake).encode()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (out / name).write_bytes(data)
    except OSError as error:
        raise StoreUnavailable(f"cannot write the map: {error.strerror}", folder=out) from error
    return [out / name for name in files]


def page(found: Coverage, pictures: Mapping[str, bytes], lake: str) -> str:
    """The page, with the pictures in it."""
    version = "no items yet" if found.version is None else f"version {found.version} of its index"
    silent = ""
    if found.not_counted:
        names = escape(", ".join(found.not_counted))
        silent = f'<p class="quiet">Not counted, as they were not accepted: {names}.</p>'
    world = f"Map of the world: {len(found.aligned):,} cells have every modality, "
    world += f"{len(found.union) - len(found.aligned):,} have some."
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Coverage of {escape(lake)}</title>
<link rel="icon" href="data:,">
<style>
{_STYLE}
</style>
</head>
<body>
<h1>Coverage</h1>
<p>{len(found.union):,} cells of 0.25° hold something,
{len(found.aligned):,} of them every modality;
{found.patches:,} patches, {found.paired:,} with complete series of Sentinel-1 and Sentinel-2.</p>
<p class="quiet">{escape(lake)}, {version}. Slots are counted, not files.</p>
{silent}
{_figure("coverage.png", pictures, world)}
<h2>Modalities</h2>
{_table(found)}
{_figure("modalities.png", pictures, "Maps of the world by modality: filled slots of each cell.")}
<h2>Series</h2>
{_figure("histograms.png", pictures, "Histograms of patches per cell and of slots per series.")}
<p class="quiet">Equal Earth projection. Land: Natural Earth, 1:110 million, public domain.</p>
</body>
</html>
"""


def _figure(name: str, pictures: Mapping[str, bytes], text: str) -> str:
    data = base64.b64encode(pictures[name]).decode()
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{data}">'


def _table(found: Coverage) -> str:
    head = ("Modality", "Cells", "Share of cells", "Items", "Slots of a series", "Complete series")
    lines = []
    for one in found.modalities:
        share = 100 * len(one.cells) / max(len(found.union), 1)
        title = escape(TITLES[one.modality])
        values = (
            title, f"{len(one.cells):,}", f"{share:.1f} %", f"{one.items:,}", f"{one.full}",
            f"{one.complete:,}",
        )  # fmt: skip
        lines.append("<tr>" + "".join(f"<td>{value}</td>" for value in values) + "</tr>")
    titles = "".join(f"<th>{title}</th>" for title in head)
    rows = "\n".join(lines)
    return (
        f'<div class="scroll"><table>\n<thead><tr>{titles}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table></div>"
    )

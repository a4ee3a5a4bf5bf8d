"""Writes `docs/products/`: facts from the catalogue's YAML above prose that is kept in the page.

What stands between the two marks of a page is replaced, and all below is left as it is: prose is
edited in place. `make docs` runs this; a test fails where a page and its YAML disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from stac_lake.recipe import (
    Band,
    Product,
    SourceCollection,
    catalogs_dir,
    products,
    providers,
)

PAGES = Path(__file__).parent / "products"
BEGIN = "<!-- facts: written by `make docs` from the YAML; edit that, or the prose below -->"
END = "<!-- end of facts -->"
SECTIONS = (
    "What it is",
    "How it is made",
    "Thresholds and where they come from",
    "Against Earth Engine",
    "Limits",
)
"""Headings of the prose, in this order."""


def pages(folder: Path = PAGES) -> dict[str, str]:
    """What the files of `folder` should be, by name; prose is taken from the files there."""
    made = {"README.md": _index()}
    for product in products().values():
        path = folder / f"{product.id}.md"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        prose = text.partition(END)[2] or "".join(f"\n## {name}\n" for name in SECTIONS)
        made[path.name] = f"{BEGIN}\n{facts(product)}\n{END}{prose}"
    return made


def facts(product: Product) -> str:
    """The generated part of a page."""
    source = f"../../catalogs/products/{product.id}.yaml"
    parts = [
        f"# {product.title}",
        f"`{product.id}`: {product.description}",
        _table(("", ""), _particulars(product)),
        _table(
            ("band", "common name", "nm", "width nm", "native m", "unit", "value", "meaning"),
            [*map(_band, product.bands), *(_band(b, True) for b in product.optional_bands)],
        ),
        "Sources, in order of preference:",
        _table(
            ("provider", "collection", "only where", "days", "keys"),
            map(_source, product.sources),
        ),
        f"What makes the values, with its sources, is in [`{product.id}.yaml`]({source}):",
        f"```yaml\n{_values(product.id)}\n```",
    ]
    return "\n\n".join(parts)


def _index() -> str:
    """The table of all products."""
    rows = [
        (f"[`{p.id}`]({p.id}.md)", p.title, _grid(p), _stored(p), p.values.operator)
        for p in products().values()
    ]
    table = _table(("product", "", "grid", "stored", "operator"), rows)
    return (
        f"{BEGIN}\n# Products\n\n{table}\n\n"
        "Conventions that all share (slots, `qa`, validity, files): [contracts](../contracts.md)."
        f"\n{END}\n"
    )


def _particulars(product: Product) -> list[tuple[str, str]]:
    return [
        ("modality", f"`{product.modality}`"),
        ("one slot is", f"a {product.unit_of}"),
        ("grid", _grid(product)),
        ("stored", _stored(product)),
        ("processing level", product.processing_level),
        ("platforms", ", ".join(product.platform_ids)),
        ("operator", f"`{product.values.operator}`"),
        ("attribution", product.attribution),
    ]


def _grid(product: Product) -> str:
    size = f"{product.pixels} × {product.pixels}"
    if product.unit_of == "patch":
        shifted = any(product.lattice_origin_m)
        lattice = "; pixel corners at {:g}, {:g} modulo {:g} m".format(
            *product.lattice_origin_m, product.gsd_m
        )
        return (
            f"{size} pixels of {product.gsd_m:g} m in UTM or polar stereographic"
            f"{lattice if shifted else ''}"
        )
    if product.grid == "metric":
        return f"{size} pixels of {product.gsd_m:g} m around the cell's centre"
    return f"{size} pixels of 0.25°/{product.pixels} in EPSG:4326"


def _stored(product: Product) -> str:
    nodata = "NaN" if product.nodata != product.nodata else f"{product.nodata:g}"
    return f"{product.dtype}, nodata {nodata}"


def _band(band: Band, optional: bool = False) -> tuple[str, ...]:
    scale, offset = band.scale, band.offset
    value = "" if scale is None else f"× {scale:g}"
    if offset:
        value += f" {'+' if offset > 0 else '−'} {abs(offset):g}"
    numbers = (band.wavelength_nm, band.width_nm, band.gsd_m)
    meaning = band.description + (" (on request)" if optional else "")
    return (
        f"`{band.name}`",
        band.common_name or "",
        *("" if number is None else f"{number:g}" for number in numbers),
        band.unit or "",
        value,
        meaning.strip(),
    )


def _source(source: SourceCollection) -> tuple[str, ...]:
    provider = providers()[source.provider]
    filters = ", ".join(f"`{name}` = {value}" for name, value in source.filters.items())
    since = f"from {source.since}" if source.since else ""
    until = f"before {source.until}" if source.until else ""
    keys = " and ".join(f"`{name}`" for name in provider.credentials) or "none"
    days = " ".join(part for part in (since, until) if part) or "all"
    return (provider.title, f"`{source.collection}`", filters, days, keys)


def _values(product_id: str) -> str:
    """The comment at the head of the YAML, and its `values` with their comments."""
    text = (catalogs_dir() / "products" / f"{product_id}.yaml").read_text(encoding="utf-8")
    lines = text.splitlines()
    head = lines[: next(n for n, line in enumerate(lines) if not line.startswith("#"))]
    first = lines.index("values:")
    rest = lines[first + 1 :]
    length = next((n for n, line in enumerate(rest) if line and line[0] not in " #"), len(rest))
    return "\n".join([*head, *lines[first : first + 1 + length]])


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table; columns that are empty throughout are left out."""
    body = list(rows)
    used = [n for n in range(len(head)) if not body or any(row[n] for row in body)]
    lines = [
        [head[n] for n in used],
        ["---"] * len(used),
        *([row[n] for n in used] for row in body),
    ]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def write(made: Mapping[str, str]) -> None:
    """Write the pages that differ."""
    PAGES.mkdir(exist_ok=True)
    for name, text in made.items():
        path = PAGES / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path)


if __name__ == "__main__":
    write(pages())

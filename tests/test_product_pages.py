"""Every product has a page, whose facts are the YAML's and whose prose says what it must."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from docs.product_pages import END, PAGES, SECTIONS, pages
from stac_lake.recipe import catalogs_dir

PRODUCTS = sorted((catalogs_dir() / "products").glob("*.yaml"))


def test_pages_are_those_of_the_products() -> None:
    """`make docs` has been run, and no page is of a product that is gone."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")}
    assert set(committed) == {"README.md", *(f"{path.stem}.md" for path in PRODUCTS)}
    stale = [name for name, text in pages().items() if committed.get(name) != text]
    assert not stale, f"run `make docs`: {stale}"


@pytest.mark.parametrize("path", PRODUCTS, ids=lambda p: p.stem)
def test_page_says_what_the_file_says(path: Path) -> None:
    """Read from the YAML itself, not from its models."""
    page = (PAGES / f"{path.stem}.md").read_text(encoding="utf-8")
    known = yaml.safe_load(path.read_text(encoding="utf-8"))
    for band in (*known["bands"], *known.get("optional_bands", [])):
        (row,) = re.findall(rf"^\| `{band['name']}` \|.*$", page, re.MULTILINE)
        for key in ("wavelength_nm", "unit", "scale"):
            if key in band:
                number = band[key]
                assert (f"{number:g}" if isinstance(number, int | float) else number) in row
    for source in known["sources"]:
        assert f"`{source['collection']}`" in page
    for name, value in known["values"].items():
        assert re.search(rf"^  {name}:", page, re.MULTILINE), name
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            assert f"  {name}: {value}" in page or f'  {name}: "{value}"' in page
    assert ("CDSE_S3_ACCESS_KEY" in page) == any(s["provider"] == "cdse" for s in known["sources"])


@pytest.mark.parametrize("path", PRODUCTS, ids=lambda p: p.stem)
def test_prose_has_all_its_sections(path: Path) -> None:
    prose = (PAGES / f"{path.stem}.md").read_text(encoding="utf-8").partition(END)[2]
    parts = re.split(r"^## (.*)\n", prose, flags=re.MULTILINE)[1:]
    assert tuple(parts[::2]) == SECTIONS
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        assert len(text.split()) > 10, f"{path.stem}: {name} says nothing"


def test_prose_is_kept_and_facts_are_replaced(tmp_path: Path) -> None:
    page = tmp_path / f"{PRODUCTS[0].stem}.md"
    page.write_text(f"old facts\n{END}\n\nHand-written.\n", encoding="utf-8")
    made = pages(tmp_path)[page.name]
    assert made.endswith(f"{END}\n\nHand-written.\n")
    assert "old facts" not in made
    assert all(f"## {name}" in pages(tmp_path)[f"{PRODUCTS[1].stem}.md"] for name in SECTIONS)

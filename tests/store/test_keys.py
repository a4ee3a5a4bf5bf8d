from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_lake.errors import GridError
from stac_lake.grid import Cell, patch_at
from stac_lake.store import keys
from stac_lake.types import Slot

CELLS = st.builds(Cell, st.integers(0, 721 * 1440 - 1))


def test_keys_of_the_published_cell() -> None:
    slot = Slot("s2-l2a", Cell(772176), patch_at(-96, 44), "winter")
    home = "cells/n30_w120/n42.5_w097.5/0772176/"
    assert keys.item_key(slot, 3) == f"{home}items/{slot.id}/3.json"
    asset = keys.asset_key(slot, "20260102T030405Z-0123456789abcdef", "ab" * 32)
    assert asset == f"{home}assets/{slot.id}/20260102T030405Z-0123456789abcdef/abababababababab.tif"
    assert keys.collection_key(slot.cell) == f"{home}collection.json"
    assert keys.ledger_prefix(slot.cell) == "ledger/n42.5_w097.5/0772176/"


@given(CELLS)
def test_a_block_contains_the_cell_and_is_small(cell: Cell) -> None:
    small = re.fullmatch(r"([ns])(\d\d\.\d)_([ew])(\d{3}\.\d)", keys.small_block(cell))
    large = re.fullmatch(r"([ns])(\d\d)_([ew])(\d{3})", keys.large_block(cell))
    assert small
    assert large
    for match, size in ((small, 2.5), (large, 30)):
        south = float(match[2]) * (-1 if match[1] == "s" else 1)
        west = float(match[4]) * (-1 if match[3] == "w" else 1)
        assert south <= cell.lat < south + size
        assert west <= cell.lon < west + size
    assert re.fullmatch(r"[a-z0-9_./]+", keys.cell_prefix(cell))


def test_the_tree_never_has_more_than_144_children() -> None:
    corners = [(row, column) for row in range(0, 721, 10) for column in range(0, 1440, 10)]
    every = [Cell(row * 1440 + column) for row, column in corners]
    by_large: dict[str, set[str]] = {}
    for cell in every:
        by_large.setdefault(keys.large_block(cell), set()).add(keys.small_block(cell))
    assert len(by_large) == 7 * 12
    assert max(map(len, by_large.values())) == 144


@given(CELLS, st.sampled_from(["winter", "2021-03", "20210304T171859", "b1"]), st.integers(1, 9999))
def test_an_item_key_parses_back(cell: Cell, name: str, version: int) -> None:
    slot = Slot("s5p-co", cell, None, name)
    assert keys.parse_item_key(keys.item_key(slot, version)) == (slot.id, version)
    assert keys.parse_item_key(keys.collection_key(cell)) is None


@pytest.mark.parametrize("name", ["../../x", "a/b", "%2e%2e", "a\x00", "a b", "", "..", "ü", "a_b"])
def test_a_slot_that_is_no_name_makes_no_key(name: str) -> None:
    with pytest.raises(GridError):
        keys.item_key(Slot("s2-l2a", Cell(1), None, name), 1)


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_text_escapes_the_cell(product: str, name: str) -> None:
    slot = Slot(product, Cell(1), None, name)
    try:
        key = keys.item_key(slot, 1)
    except GridError:
        return
    assert re.fullmatch(r"cells/[a-z0-9_.]+/[a-z0-9_.]+/0000001/items/[A-Za-z0-9_-]+/1\.json", key)


@pytest.mark.parametrize(
    ("attempt", "sha"),
    [("x", "0" * 64), ("20260102T030405Z-0123456789abcdef", "0" * 63), ("../..", "0" * 64)],
)
def test_attempt_and_hash_are_checked(attempt: str, sha: str) -> None:
    with pytest.raises(GridError):
        keys.asset_key(Slot("s2-l2a", Cell(1), None, "winter"), attempt, sha)

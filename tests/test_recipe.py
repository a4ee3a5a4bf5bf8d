"""The YAML of catalogs/, and what is refused of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from stac_lake.errors import ConfigError
from stac_lake.recipe import (
    Product,
    Provider,
    Recipe,
    catalogs_dir,
    date_windows,
    digest,
    load_yaml,
    product,
    products,
    providers,
    recipe,
)


def test_all_catalogues_load() -> None:
    assert set(providers()) == {"earth-search", "planetary-computer", "cdse"}
    assert set(products()) == {
        "s2-l1c", "s2-l2a", "s1-rtc", "s1-grd", "s3-olci-efr",
        "s5p-co", "s5p-no2", "s5p-o3", "s5p-so2", "dem-glo30", "landsat-c2-l2",
    }  # fmt: skip
    modalities = [series.modality for series in recipe("copernicus-pretrain").series]
    assert modalities == ["s2", "s1", "s3", "co", "no2", "o3", "so2", "dem"]


def test_bands_follow_the_contract() -> None:
    assert len(product("s2-l1c").bands) == 14
    assert len(product("s2-l2a").bands) == 13
    assert "B10" not in product("s2-l2a").band_names
    assert product("s3-olci-efr").band_names == (*(f"Oa{i:02d}" for i in range(1, 22)), "qa")
    assert product("s5p-no2").band_names[1:] == ("n_orbits", "std")
    assert product("s1-rtc").band_names == ("VV", "VH", "qa")


def test_windows_are_those_of_the_original() -> None:
    series = recipe("copernicus-pretrain").series[0]
    winter = date_windows(series.windows["winter"])
    assert [(w.start.date().isoformat(), w.end.date().isoformat()) for w in winter] == [
        ("2022-11-21", "2023-01-20"),
        ("2021-11-21", "2022-01-20"),
        ("2020-11-21", "2021-01-20"),
    ]
    assert datetime(2020, 2, 19, tzinfo=UTC) == date_windows(series.windows["spring"])[2].start
    december = date_windows(recipe("copernicus-pretrain").series[3].windows["2021-12"])[0]
    assert datetime(2021, 12, 31, 23, tzinfo=UTC) in december


@pytest.mark.parametrize(
    ("folder", "name", "model", "old", "new", "key", "allowed"),
    [
        ("products", "s2-l2a", Product, "harmonize:", "harmonise:", "harmonise", "harmonize"),
        ("products", "s5p-no2", Product, "  qa_above:", "  qa:", "values.column.qa", "qa_above"),
        ("products", "dem-glo30", Product, "gsd_m: 30\ndtype", "gsd: 30\ndtype", "gsd", "gsd_m"),
        ("providers", "cdse", Provider, "page_limit", "pages", "pages", "page_limit"),
        (
            "recipes",
            "copernicus-pretrain",
            Recipe,
            "polar_night:",
            "polar:",
            "polar",
            "polar_night",
        ),
    ],
)
def test_unknown_keys_are_refused(
    tmp_path: Path, folder: str, name: str, model: type, old: str, new: str, key: str, allowed: str
) -> None:
    text = (catalogs_dir() / folder / f"{name}.yaml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / f"{name}.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_yaml(path, model)
    message = str(caught.value)
    assert str(path) in message
    assert key in message
    assert allowed in message


def test_names_are_suggested() -> None:
    with pytest.raises(ConfigError, match="did you mean 's2-l2a'"):
        product("s2-l2A")
    with pytest.raises(ConfigError, match="unknown recipe 'nope'"):
        recipe("nope")


def test_yaml_objects_are_not_built(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text("!!python/object/apply:os.system ['true']", encoding="utf-8")
    with pytest.raises(ConfigError, match="not YAML"):
        load_yaml(path, Recipe)


def test_digest_follows_the_pixels() -> None:
    series = recipe("copernicus-pretrain").series[0]
    item = product("s2-l2a")
    windows = date_windows(series.windows["winter"])
    today = digest(item, windows)
    bilinear = series.model_copy(update={"resampling": "bilinear"}).effective(item)
    raw = series.model_copy(update={"harmonize": False}).effective(item)
    assert (
        len({today, digest(bilinear, windows), digest(raw, windows), digest(item, windows[:1])})
        == 4
    )
    assert digest(item.model_copy(update={"title": "another"}), windows) == today

"""What follows from a Sentinel-2 scene's name and facts, whoever publishes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from stac_lake.sandbox.documents.bands import BANDS
from stac_lake.sandbox.documents.envelope import as_time, compact
from stac_lake.sandbox.scene import SandboxScene


@dataclass(frozen=True)
class S2Name:
    """The parts of `S2A_MSIL2A_20240418T191949_N0510_R113_T08KMD_20240419T002049`."""

    platform: str
    level: str
    datatake: datetime
    baseline: str
    orbit: str
    tile: str
    made: datetime

    @property
    def zone(self) -> int:
        return int(self.tile[:2])

    @property
    def folders(self) -> tuple[str, str, str]:
        """Zone, latitude band and square; the zone without a leading zero."""
        return str(self.zone), self.tile[2], self.tile[3:]

    @property
    def square(self) -> str:
        """`8KMD`: the tile's name as the grid extension and Earth Search's ids have it."""
        return f"{self.zone}{self.tile[2:]}"

    @property
    def strip(self) -> datetime:
        """Start of the datastrip; recorded ones begin a few seconds before the datatake's name."""
        return self.datatake - timedelta(seconds=5)

    @property
    def sensed(self) -> datetime:
        """The datatake's start to the millisecond, as `datetime` at two of the providers."""
        return self.datatake + timedelta(milliseconds=24)


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)


def parse(scene_id: str) -> S2Name:
    """Take a product name apart (ESA product naming convention of 2016-12-06)."""
    platform, level, datatake, baseline, orbit, tile, made = scene_id.split("_")
    return S2Name(
        platform, level[3:], _time(datatake), baseline, orbit, tile.removeprefix("T"), _time(made)
    )


def granule_folder(scene: SandboxScene) -> str:
    """`L2A_T08KMD_A037176_20240418T191944`."""
    name = parse(scene.id)
    orbit = scene.facts["absolute_orbit"]
    return f"{name.level}_T{name.tile}_A{orbit:06d}_{compact(name.strip)}"


def datastrip_id(scene: SandboxScene, site: str) -> str:
    """`S2B_OPER_MSI_L2A_DS_2BPS_…`; the site is where it was processed."""
    name = parse(scene.id)
    return (
        f"{name.platform}_OPER_MSI_{name.level}_DS_{site}_{compact(name.made)}"
        f"_S{compact(name.strip)}_N{scene.facts['baseline']}"
    )


def granule_id(scene: SandboxScene, site: str) -> str:
    """`S2B_OPER_MSI_L2A_TL_2BPS_…`; the site is where it was processed."""
    name = parse(scene.id)
    return (
        f"{name.platform}_OPER_MSI_{name.level}_TL_{site}_{compact(name.made)}"
        f"_A{scene.facts['absolute_orbit']:06d}_T{name.tile}_N{scene.facts['baseline']}"
    )


def generated(scene: SandboxScene) -> datetime:
    """When the product was made."""
    return as_time(scene.facts["generation_time"])


def class_shares(scene: SandboxScene) -> dict[str, float]:
    """Shares of the scene classification in per cent; the cloudy three add up to `cloud_pct`."""
    cloud = float(scene.facts["cloud_pct"])
    clear = max(100.0 - cloud, 0.0)
    shares = {
        "degraded_msi_data": 0.0,
        "nodata_pixel": float(scene.facts["nodata_pct"]),
        "saturated_defective_pixel": 0.0,
        "dark_features": 0.0,
        "cloud_shadow": min(cloud / 10, clear / 20),
        "vegetation": clear * 0.5,
        "not_vegetated": clear * 0.25,
        "water": clear * 0.15,
        "unclassified": clear * 0.05,
        "medium_proba_clouds": cloud * 0.3,
        "high_proba_clouds": cloud * 0.6,
        "thin_cirrus": cloud * 0.1,
        "snow_ice": 0.0,
    }
    return {name: round(value, 6) for name, value in shares.items()}


def native_gsd(name: str) -> int:
    """Pixel size in metres of a band or of the scene classification."""
    return BANDS[name].gsd if name in BANDS else 20

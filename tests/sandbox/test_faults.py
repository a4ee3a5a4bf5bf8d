"""Each fault, as a client meets it; and the counters, the delay and the bandwidth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pystac_client
import pytest
import requests

from stac_lake.sandbox.faults import Fault
from stac_lake.sandbox.server import SandboxConfig, serve

CELL = [-96.125, 43.875, -95.875, 44.125]
JUNE = "2021-06-01T00:00:00Z/2021-07-31T00:00:00Z"
ES = "/earth-search/v1/search"
PC = "/planetary-computer/api/stac/v1"
TILE = "Copernicus_DSM_COG_10_N44_00_W096_00_DEM"
DEM = f"/earth-search/s3/copernicus-dem-30m.s3.eu-central-1.amazonaws.com/{TILE}/{TILE}.tif"
BODY: dict[str, Any] = {
    "collections": ["sentinel-2-l2a"], "bbox": CELL, "datetime": JUNE, "limit": 3
}  # fmt: skip


def arm(origin: str, **fault: Any) -> None:
    response = requests.post(f"{origin}/_sandbox/faults", json=fault, timeout=30)
    assert response.status_code == 201, response.text


def search(origin: str, path: str = ES, **more: Any) -> requests.Response:
    return requests.post(origin + path, json={**BODY, **more}, timeout=60)


@pytest.mark.parametrize(
    ("kind", "status", "retry_after"),
    [("too_many_requests", 429, "7"), ("unavailable", 503, "7"), ("gateway_timeout", 504, None),
     ("unprocessable", 422, None)],
)  # fmt: skip
def test_status_faults(sandbox: str, kind: str, status: int, retry_after: str | None) -> None:
    arm(sandbox, kind=kind, provider="earth-search", path="/search$", times=2, after=1,
        retry_after_s=7)  # fmt: skip
    statuses = [search(sandbox) for _ in range(4)]
    assert [response.status_code for response in statuses] == [200, status, status, 200]
    assert statuses[1].headers.get("Retry-After") == retry_after
    assert search(sandbox, f"{PC}/search").status_code == 200  # another provider
    (report,) = requests.get(f"{sandbox}/_sandbox/faults", timeout=30).json()["faults"]
    assert report["fired"] == 2


def test_gateway_timeout_keeps_waiting(sandbox: str) -> None:
    arm(sandbox, kind="gateway_timeout", wait_s=30)
    with pytest.raises(requests.ReadTimeout):
        requests.post(sandbox + ES, json=BODY, timeout=0.5)


def test_expired_sas(sandbox: str) -> None:
    arm(sandbox, kind="expired_sas")
    sas = f"{sandbox}/planetary-computer/api/sas/v1/token/elevationeuwest/copernicus-dem"
    blob = f"{sandbox}/planetary-computer/blob/elevationeuwest/copernicus-dem/COP30_hh/{TILE}.tif"
    outcomes = []
    for _ in range(2):
        token = requests.get(sas, timeout=30).json()["token"]
        response = requests.get(f"{blob}?{token}", headers={"Range": "bytes=0-3"}, timeout=60)
        outcomes.append(response.status_code)
    assert outcomes == [403, 206]


def test_damaged_bodies(sandbox: str) -> None:
    ranged = {"Range": "bytes=0-9999"}
    good = requests.get(sandbox + DEM, headers=ranged, timeout=60).content
    assert len(good) == 10_000

    arm(sandbox, kind="truncated", path=TILE, position=0.25)
    short = requests.get(sandbox + DEM, headers=ranged, timeout=60)
    assert short.headers["content-length"] == "2500"
    assert short.content == good[:2500]

    arm(sandbox, kind="flipped_byte", path=TILE, position=0.5)
    flipped = requests.get(sandbox + DEM, headers=ranged, timeout=60).content
    assert [i for i in range(10_000) if flipped[i] != good[i]] == [5000]

    arm(sandbox, kind="short_connection", path=TILE, position=0.5)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        requests.get(sandbox + DEM, headers=ranged, timeout=60)
    assert requests.get(sandbox + DEM, headers=ranged, timeout=60).content == good


def test_damaged_long_body(sandbox: str) -> None:
    """A body that is sent in pieces is damaged at the right place, too."""
    ranged = {"Range": "bytes=0-2999999"}
    good = requests.get(sandbox + DEM, headers=ranged, timeout=60).content
    arm(sandbox, kind="flipped_byte", position=0.9)
    flipped = requests.get(sandbox + DEM, headers=ranged, timeout=60).content
    assert flipped[2_700_000] == good[2_700_000] ^ 0xFF
    assert flipped[:2_700_000] + flipped[2_700_001:] == good[:2_700_000] + good[2_700_001:]
    arm(sandbox, kind="truncated", position=0.9)
    assert requests.get(sandbox + DEM, headers=ranged, timeout=60).content == good[:2_700_000]


def test_missing_asset_and_redirect(sandbox: str) -> None:
    arm(sandbox, kind="missing_asset", path=TILE)
    assert requests.get(sandbox + DEM, timeout=60).status_code == 404
    arm(sandbox, kind="redirect", path=TILE, location="http://169.254.169.254")
    response = requests.head(sandbox + DEM, timeout=60, allow_redirects=False)
    assert response.status_code == 302
    assert response.headers["location"] == f"http://169.254.169.254{DEM}"
    assert requests.head(sandbox + DEM, timeout=60).status_code == 200


def test_empty_last_page(sandbox: str) -> None:
    plain = search(sandbox, f"{PC}/search", limit=100).json()
    assert not [link for link in plain["links"] if link["rel"] == "next"]
    arm(sandbox, kind="empty_last_page", provider="planetary-computer")
    page = search(sandbox, f"{PC}/search", limit=100).json()
    assert page["features"] == plain["features"]
    (link,) = [link for link in page["links"] if link["rel"] == "next"]
    empty = requests.post(link["href"], json=link["body"], timeout=60).json()
    assert empty["features"] == []
    assert not [link for link in empty["links"] if link["rel"] == "next"]


def test_duplicates(sandbox: str) -> None:
    client = pystac_client.Client.open(sandbox + PC)
    asked = client.search(**BODY)
    plain = [item.id for item in asked.items()]
    arm(sandbox, kind="duplicates", provider="planetary-computer", times=-1)
    counts = Counter(item.id for item in asked.items())
    assert set(counts) == set(plain)
    # Once within the first page, and once on each later page: the last item of the page before.
    assert counts[plain[2]] == 3
    assert sum(counts.values()) == len(plain) + -(-len(plain) // 3)


def test_two_baselines(sandbox: str) -> None:
    plain = search(sandbox, f"{PC}/search", limit=100).json()["features"]
    arm(sandbox, kind="two_baselines", provider="planetary-computer")
    both = search(sandbox, f"{PC}/search", limit=100).json()["features"]
    assert len(both) == 2 * len(plain)
    baselines: dict[tuple[str, str], list[str]] = {}
    for item in both:
        take = (item["properties"]["s2:datatake_id"][:20], item["properties"]["s2:mgrs_tile"])
        baselines.setdefault(take, []).append(item["properties"]["s2:processing_baseline"])
    assert set(map(tuple, baselines.values())) == {("05.00", "02.12")}
    older = next(i for i in both if i["properties"]["s2:processing_baseline"] == "02.12")
    href = older["assets"]["B01"]["href"]
    token = requests.get(
        f"{sandbox}/planetary-computer/api/sas/v1/token/sentinel-2-l2a", timeout=30
    ).json()["token"]
    path = href.removeprefix("https://sentinel2l2a01.blob.core.windows.net/")
    url = f"{sandbox}/planetary-computer/blob/sentinel2l2a01/{path}?{token}"
    response = requests.get(url, headers={"Range": "bytes=0-3"}, timeout=60)
    assert response.status_code == 206


@pytest.mark.parametrize(
    "plan", [{"kind": "nonsense"}, {"kind": "unavailable", "when": 1}, [1], "x",
             {"kind": "unavailable", "path": "("}],
)  # fmt: skip
def test_wrong_plans_are_refused(sandbox: str, plan: Any) -> None:
    response = requests.post(f"{sandbox}/_sandbox/faults", json=plan, timeout=30)
    assert response.status_code == 400
    assert "not a fault plan" in response.json()["detail"]


def test_counters(sandbox: str) -> None:
    requests.get(sandbox + DEM, headers={"Range": "bytes=0-999"}, timeout=60)
    requests.get(sandbox + DEM, headers={"Range": "bytes=0-999"}, timeout=60)
    found = requests.post(sandbox + ES, json=BODY, headers={"Accept-Encoding": "identity"},
                          timeout=60)  # fmt: skip
    stats = requests.get(f"{sandbox}/_sandbox/stats", timeout=30).json()
    assert stats["routes"] == {
        "earth-search/asset": {"requests": 2, "bytes": 2000},
        "earth-search/search": {"requests": 1, "bytes": len(found.content)},
    }
    assert stats["requests"] == 3
    assert stats["bytes"] == 2000 + len(found.content)


def test_delay_bandwidth_and_faults_from_the_start(tmp_path: Path) -> None:
    """Slowness is seen in the server's own measure: requests that give up before it answers."""
    config = SandboxConfig(
        cache=tmp_path, bandwidth=200_000, faults=(Fault("unavailable", path="/search$"),)
    )
    with serve(config) as origin:
        assert search(origin).status_code == 503
        with requests.get(
            origin + DEM, headers={"Range": "bytes=0-999999"}, stream=True, timeout=60
        ) as slow:
            first = next(slow.iter_content(65_536))
        stats = requests.get(f"{origin}/_sandbox/stats", timeout=30).json()
        assert len(first) == 65_536
        # The reader left, and the rest of the megabyte (four more seconds) was not sent.
        assert stats["routes"].get("earth-search/asset", {"bytes": 0})["bytes"] < 1_000_000
    with (
        serve(SandboxConfig(cache=tmp_path, delay_s=20.0)) as origin,
        pytest.raises(requests.ReadTimeout),
    ):
        requests.head(origin + DEM, timeout=0.5)

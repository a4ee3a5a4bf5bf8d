"""Files over HTTP: ranges, preconditions, SAS tokens and S3 signatures, judged by other clients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import numpy as np
import obstore
import pytest
import rasterio
import requests
from obstore.store import S3Store
from rasterio.io import MemoryFile

from stac_lake.sandbox.server import SandboxConfig, serve

CELL = [-96.125, 43.875, -95.875, 44.125]
JUNE = "2021-06-01T00:00:00Z/2021-07-31T00:00:00Z"
PREFIX = {
    "earth-search": "/earth-search/v1",
    "planetary-computer": "/planetary-computer/api/stac/v1",
    "cdse": "/cdse/v1",
}
HOST = "copernicus-dem-30m.s3.eu-central-1.amazonaws.com"
TILE = "Copernicus_DSM_COG_10_N44_00_W096_00_DEM"
DEM = f"/earth-search/s3/{HOST}/{TILE}/{TILE}.tif"


def item(origin: str, provider: str, collection: str, datetime: str | None = JUNE) -> Any:
    body: dict[str, Any] = {"collections": [collection], "bbox": CELL, "limit": 1}
    if datetime:
        body["datetime"] = datetime
    response = requests.post(f"{origin}{PREFIX[provider]}/search", json=body, timeout=60)
    return response.json()["features"][0]


def test_ranges_and_preconditions(sandbox: str) -> None:
    url = sandbox + DEM
    head = requests.head(url, timeout=60)
    size, etag = int(head.headers["content-length"]), head.headers["etag"]
    assert head.status_code == 200
    assert head.headers["accept-ranges"] == "bytes"
    assert head.content == b""

    def get(status: int, **headers: str) -> requests.Response:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        response = requests.get(url, headers=named, timeout=60)
        assert response.status_code == status
        return response

    first = get(206, Range="bytes=0-99")
    assert first.headers["content-range"] == f"bytes 0-99/{size}"
    assert first.headers["content-length"] == "100"
    assert first.content[:2] == b"II"
    middle = get(206, Range="bytes=40-79").content
    assert middle == first.content[40:80]
    tail = get(206, Range="bytes=-16")
    assert tail.headers["content-range"] == f"bytes {size - 16}-{size - 1}/{size}"
    assert get(206, Range=f"bytes={size - 16}-").content == tail.content
    assert get(206, Range=f"bytes={size - 16}-{size + 9}").content == tail.content
    beyond = get(416, Range=f"bytes={size}-")
    assert beyond.headers["content-range"] == f"bytes */{size}"
    assert get(206, Range="bytes=0-99", If_Match=etag).content == first.content
    assert "PreconditionFailed" in get(412, Range="bytes=0-99", If_Match='"other"').text
    assert get(304, If_None_Match=etag).content == b""
    assert get(206, Range="bytes=0-9", If_None_Match='"other"').content == first.content[:10]
    assert get(206, Range="bytes=0-9", If_Range=etag).content == first.content[:10]


def test_a_whole_file_is_the_sum_of_its_ranges(sandbox: str) -> None:
    scl = item(sandbox, "earth-search", "sentinel-2-l2a")["assets"]["scl"]["href"]
    url = f"{sandbox}/earth-search/s3/{scl.removeprefix('https://')}"
    whole = requests.get(url, timeout=120)
    assert len(whole.content) == int(whole.headers["content-length"]) > 1 << 20
    part = requests.get(url, headers={"Range": "bytes=1000000-1000999"}, timeout=60)
    assert part.content == whole.content[1_000_000:1_001_000]
    with MemoryFile(whole.content) as file, file.open() as dataset:
        assert dataset.shape == (5490, 5490)
        assert set(np.unique(dataset.read(1))) <= {0, 3, 4, 5, 6, 8, 9, 10, 11}


def test_gdal_reads_over_http_from_another_process(sandbox: str) -> None:
    """In its own process: GDAL asks for sidecar files while it holds the interpreter's lock."""
    code = (
        "import rasterio, sys\n"
        "with rasterio.open('/vsicurl/' + sys.argv[1]) as d:\n"
        "    print(d.shape, d.crs.to_epsg(), float(d.read(1, window=((0, 1), (0, 1)))[0, 0]) > 0)"
    )
    command = [sys.executable, "-c", code, sandbox + DEM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split("\n")[0] == "(3600, 3600) 4326 True"


def test_the_offset_is_already_applied_at_earth_search(sandbox: str) -> None:
    """sentinel-2-l2a and c1-l2a are the same acquisition; only one still has the 1000."""
    shifted = item(sandbox, "earth-search", "sentinel-2-l2a")
    plain = item(sandbox, "earth-search", "sentinel-2-c1-l2a")
    assert shifted["properties"]["s2:product_uri"] == plain["properties"]["s2:product_uri"]
    assert shifted["properties"]["earthsearch:boa_offset_applied"] is True
    assert shifted["assets"]["red"]["raster:bands"][0]["offset"] == -0.1
    pixels = []
    for one in (shifted, plain):
        href = one["assets"]["coastal"]["href"].removeprefix("https://")
        body = requests.get(f"{sandbox}/earth-search/s3/{href}", timeout=120).content
        with MemoryFile(body) as file, file.open() as dataset:
            pixels.append(dataset.read(1).astype(int))
    seen = pixels[1] > 0
    assert seen.any()
    assert set(np.unique((pixels[1] - pixels[0])[seen])) == {1000}


def test_public_and_closed_buckets(sandbox: str) -> None:
    paid = "/earth-search/s3/sentinel-s2-l1c.s3.eu-central-1.amazonaws.com/tiles/a.jp2"
    for path, status, code in (
        (paid, 403, "AccessDenied"),
        (DEM.replace("N44", "N99"), 404, "NoSuchKey"),
        ("/earth-search/s3/example.com/a.tif", 404, "NoSuchBucket"),
    ):
        response = requests.get(sandbox + path, timeout=60)
        assert response.status_code == status
        assert f"<Code>{code}</Code>" in response.text


def blob_url(origin: str, href: str) -> str:
    account, path = href.removeprefix("https://").split("/", 1)
    assert account.endswith(".blob.core.windows.net")
    return f"{origin}/planetary-computer/blob/{account.split('.')[0]}/{path}"


def test_sas(sandbox: str) -> None:
    href = item(sandbox, "planetary-computer", "sentinel-1-rtc")["assets"]["vv"]["href"]
    url = blob_url(sandbox, href)
    sas = f"{sandbox}/planetary-computer/api/sas/v1/token"
    by_store = requests.get(f"{sas}/sentinel1euwestrtc/sentinel1-grd-rtc", timeout=30).json()
    by_name = requests.get(f"{sas}/sentinel-1-rtc", timeout=30).json()
    assert set(by_store) == set(by_name) == {"msft:expiry", "token"}
    ranged = {"Range": "bytes=0-3"}
    for token in (by_store["token"], by_name["token"]):
        response = requests.get(f"{url}?{token}", headers=ranged, timeout=60)
        assert response.status_code == 206
        assert response.content[:2] == b"II"
    unsigned = requests.get(url, headers=ranged, timeout=60)
    assert unsigned.status_code == 409
    assert "PublicAccessNotPermitted" in unsigned.text
    other = requests.get(f"{sas}/sentinel-2-l2a", timeout=30).json()["token"]
    foreign = requests.get(f"{url}?{other}", headers=ranged, timeout=60)
    assert foreign.status_code == 403
    assert foreign.headers["x-ms-error-code"] == "AuthenticationFailed"
    tampered = by_name["token"].replace("se=2", "se=3")
    assert requests.get(f"{url}?{tampered}", timeout=60).status_code == 403
    missing = requests.get(f"{url}x?{by_name['token']}", timeout=60)
    assert missing.status_code == 404
    assert "BlobNotFound" in missing.text
    assert requests.get(f"{sas}/no/such", timeout=30).status_code == 404


def test_sas_expires(tmp_path: Path) -> None:
    with serve(SandboxConfig(cache=tmp_path, sas_minutes=0.0)) as origin:
        token = requests.get(
            f"{origin}/planetary-computer/api/sas/v1/token/cop-dem-glo-30", timeout=30
        ).json()["token"]
        href = item(origin, "planetary-computer", "cop-dem-glo-30", None)["assets"]["data"]["href"]
        late = requests.get(f"{blob_url(origin, href)}?{token}", timeout=60)
        assert late.status_code == 403
        assert "Signature not valid in the specified time frame" in late.text


def s3(origin: str, secret: str = "sandbox", key: str = "sandbox") -> Any:
    return boto3.client(
        "s3",
        endpoint_url=f"{origin}/cdse/s3",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name="default",
        config=botocore.config.Config(
            s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}
        ),
    )


@pytest.fixture
def eodata_key(sandbox: str) -> str:
    found = item(sandbox, "cdse", "sentinel-5p-l2-no2-rpro")
    href: str = found["assets"]["netcdf"]["href"]
    assert href.startswith("s3://eodata/Sentinel-5P/TROPOMI/L2__NO2___/2021/")
    return href.removeprefix("s3://eodata/")


def test_sigv4_of_boto3_and_obstore(sandbox: str, eodata_key: str) -> None:
    client = s3(sandbox)
    head = client.head_object(Bucket="eodata", Key=eodata_key)
    got = client.get_object(Bucket="eodata", Key=eodata_key, Range="bytes=0-7")
    magic = got["Body"].read()
    assert magic[1:4] == b"HDF"
    assert head["ETag"] == got["ETag"]
    store = S3Store(
        "eodata",
        endpoint=f"{sandbox}/cdse/s3",
        access_key_id="sandbox",
        secret_access_key="sandbox",
        region="default",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    assert bytes(obstore.get_range(store, eodata_key, start=0, length=8)) == magic
    assert obstore.head(store, eodata_key)["size"] == head["ContentLength"]


def test_sigv4_in_the_query_is_refused(sandbox: str, eodata_key: str) -> None:
    asked = {"Bucket": "eodata", "Key": eodata_key}
    url = s3(sandbox).generate_presigned_url("get_object", Params=asked, ExpiresIn=60)
    refused = requests.get(url, headers={"Range": "bytes=0-7"}, timeout=60)
    assert refused.status_code == 403
    assert "InvalidAccessKeyId" in refused.text


def test_sigv4_refusals(sandbox: str, eodata_key: str) -> None:
    for client, code in (
        (s3(sandbox, secret="wrong"), "SignatureDoesNotMatch"),
        (s3(sandbox, key="nobody"), "InvalidAccessKeyId"),
    ):
        with pytest.raises(botocore.exceptions.ClientError) as raised:
            client.get_object(Bucket="eodata", Key=eodata_key)
        assert raised.value.response["Error"]["Code"] == code
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        s3(sandbox).get_object(Bucket="eodata", Key="no/such")
    assert raised.value.response["Error"]["Code"] == "NoSuchKey"
    plain = requests.get(f"{sandbox}/cdse/s3/eodata/{eodata_key}", timeout=60)
    assert plain.status_code == 403
    assert "AccessDenied" in plain.text


def test_cdse_files_beside_an_item(sandbox: str) -> None:
    """L1C's cloud mask and metadata lie in the product's folder, the item lists only the XML."""
    found = item(sandbox, "cdse", "sentinel-2-l1c")
    client = s3(sandbox)

    def get(href: str) -> bytes:
        key = href.removeprefix("s3://eodata/")
        body: bytes = client.get_object(Bucket="eodata", Key=key)["Body"].read()
        return body

    assert b"RADIO_ADD_OFFSET" in get(found["assets"]["product_metadata"]["href"])
    granule = found["assets"]["granule_metadata"]["href"]
    assert b"Level-1C_Tile_ID" in get(granule)
    mask = granule.replace("MTD_TL.xml", "QI_DATA/MSK_CLASSI_B00.jp2")
    with MemoryFile(get(mask)) as file, file.open(driver="JP2OpenJPEG") as dataset:
        assert dataset.count == 3
        assert dataset.dtypes[0] == "uint8"
    cirrus = found["assets"]["B10"]
    with MemoryFile(get(cirrus["href"])) as file, file.open(driver="JP2OpenJPEG") as dataset:
        assert dataset.shape == tuple(cirrus["proj:shape"]) == (1830, 1830)
        assert f"EPSG:{dataset.crs.to_epsg()}" == cirrus["proj:code"]
        assert list(dataset.transform)[:6] == cirrus["proj:transform"]
        assert rasterio.uint16 == dataset.dtypes[0]

"""rustac over the same GeoParquet, in an environment of its own: its DuckDB is another release.

Reads one question per line of JSON, and answers with the milliseconds it took and the ids.

    python rustac_peer.py 'lake/index/*.parquet' folder-for-extensions

Its extensions come as wheels (``duckdb-extension-spatial`` and others), so that it asks no network.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import rustac

DUCKDB = "1.5.5"
"""That rustac 0.9.17 has in it; the extensions are of the same release."""

FIRST, LAST, CLOUD, PAGE = "2022-05-01T00:00:00Z", "2022-08-31T00:00:00Z", 10, 100


def main(files: str, folder: str) -> None:
    """Answer until stdin ends."""
    target = Path(folder) / f"v{DUCKDB}" / "linux_amd64"
    target.mkdir(parents=True, exist_ok=True)
    packages = Path(rustac.__file__).parents[1]
    for path in packages.glob(f"duckdb_extension_*/extensions/v{DUCKDB}/*.duckdb_extension"):
        if not (target / path.name).exists():
            (target / path.name).symlink_to(path)
    client = rustac.DuckdbClient(extension_directory=folder)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        ask = json.loads(line)
        began = time.perf_counter()
        items = client.search(files, **_parameters(ask))
        took = 1e3 * (time.perf_counter() - began)
        print(json.dumps({"ms": took, "ids": [item["id"] for item in items]}), flush=True)


def _parameters(ask: dict[str, Any]) -> dict[str, Any]:
    if ask["kind"] == "cell":
        return {"collections": [f"era5-{ask['cell']:07d}"]}
    if ask["kind"] == "id":
        return {"ids": [ask["id"]]}
    if ask["kind"] == "page":
        return {"sortby": ["cell", "time", "id"], "limit": PAGE, "offset": ask["offset"]}
    cloud = {"op": "<", "args": [{"property": "eo:cloud_cover"}, CLOUD]}
    return {"bbox": ask["box"], "datetime": f"{FIRST}/{LAST}", "filter": cloud}


if __name__ == "__main__":
    main(*sys.argv[1:])

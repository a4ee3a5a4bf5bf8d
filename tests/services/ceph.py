"""A real S3 server for the tests: Ceph's gateway, with its access log as a witness."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import requests

CHROOT = Path(os.environ.get("STAC_LAKE_CEPH", "/opt/stac-lake/ceph"))
"""Where install.sh puts Ceph, away from the machine's own packages."""

ACCESS, SECRET = "lake-access", "lake-secret"

_START_S = 180
_LINE = re.compile(r'beast: .*? "(?P<method>[A-Z]+) (?P<path>\S+) HTTP/1\.\d" (?P<status>\d+) ')


@dataclass(frozen=True)
class Request:
    """One line of the gateway's access log."""

    method: str
    path: str
    status: int


@dataclass(frozen=True)
class Ceph:
    """A running gateway.

    Attributes:
        url: Endpoint.
        folder: Data, configuration and logs.
    """

    url: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What boto3, GDAL and stac-lake need to reach it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        """boto3, without the environment."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def log_size(self) -> int:
        """Where the access log ends, with all lines of what was answered before."""
        self.settled_requests(self._log.stat().st_size)
        return self._log.stat().st_size

    def requests(self, since: int = 0) -> list[Request]:
        """What the gateway was asked since a place in its log, the last lines as far as written."""
        with self._log.open("rb") as log:
            log.seek(since)
            text = log.read().decode(errors="replace")
        return [
            Request(found["method"], found["path"], int(found["status"]))
            for found in _LINE.finditer(text)
        ]

    def settled_requests(self, since: int) -> list[Request]:
        """The same, but complete: waits for the line of a request of its own."""
        mark = f"/mark-{time.monotonic_ns()}"
        requests.get(self.url + mark, timeout=30)
        for _ in range(600):
            found = self.requests(since)
            if any(request.path == mark for request in found):
                return [one for one in found if not one.path.startswith("/mark-")]
            time.sleep(0.1)
        raise AssertionError("the gateway does not write its access log")

    @property
    def _log(self) -> Path:
        return self.folder / "client.rgw.log"


@contextmanager
def ceph(folder: Path) -> Iterator[Ceph]:
    """Start Ceph on free ports of the loopback, and end all of it afterwards.

    Raises:
        AssertionError: it is not installed, this is not root, or it did not start.
    """
    assert (CHROOT / "usr/bin/radosgw").exists(), (
        f"Ceph is missing in {CHROOT}: run `bash tests/services/install.sh`"
    )
    assert os.geteuid() == 0, "Ceph's chroot and namespaces need root"
    v2, v1, port = _free_ports(3)
    script = Path(__file__).with_name("ceph_up.sh")
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", str(script)]
    command += [str(CHROOT), str(folder), *map(str, (v2, v1, port)), ACCESS, SECRET]
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _wait(process, f"http://127.0.0.1:{port}", folder)
        yield Ceph(f"http://127.0.0.1:{port}", folder)
    finally:
        # The first process of the PID namespace dies with it, and all the others with that.
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, folder: Path) -> None:
    def tail() -> str:
        return (folder / "up.log").read_text(errors="replace")[-3000:]

    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"Ceph ended with {process.returncode}:\n{tail()}"
        try:
            if (folder / "user-ready").exists() and requests.get(url, timeout=5).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.2)
    raise AssertionError(f"Ceph did not start within {_START_S} s:\n{tail()}")


def _free_ports(number: int) -> list[int]:
    with ExitStack() as open_sockets:
        listeners = [
            open_sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
            for _ in range(number)
        ]
        return [listener.getsockname()[1] for listener in listeners]

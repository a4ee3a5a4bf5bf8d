"""Reading from S3 in a process that was forked, as data loaders fork theirs by default.

obstore's threads do not survive a fork, and its calls then wait for ever, even those of a store
that was opened after the fork. boto3 has no threads: a forked process reads with a client of its
own, which finds credentials, region and endpoint just as `Objects` does.
"""

from __future__ import annotations

import os
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stac_lake.errors import KeyMissing, StoreUnavailable

if TYPE_CHECKING:
    from stac_lake.store.objects import Objects

CONNECTIONS = 16
"""Requests that one process has under way at a time."""

_IMPORTED_BY = os.getpid()
_MAKING = threading.Lock()


def in_forked_process() -> bool:
    """Whether this process was forked after it had imported this module."""
    return os.getpid() != _IMPORTED_BY


def read_range(objects: Objects, key: str, start: int, stop: int) -> bytes:
    """Bytes [start, stop) of an object in a lake on S3.

    Raises:
        KeyMissing, StoreUnavailable.
    """
    bucket, _, prefix = objects.url.removeprefix("s3://").partition("/")
    whole = f"{prefix}/{key}" if prefix else key
    try:
        with _MAKING:
            client = _client(os.getpid())
        found = client.get_object(Bucket=bucket, Key=whole, Range=f"bytes={start}-{stop - 1}")
        data: bytes = found["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            raise KeyMissing("no such object", key=key, lake=objects.url) from error
        raise StoreUnavailable(f"the store refused: {error}", key=key, lake=objects.url) from error
    except BotoCoreError as error:
        raise StoreUnavailable(
            f"the store does not answer: {error}", key=key, lake=objects.url
        ) from error
    return data


@lru_cache(maxsize=1)
def _client(process: int) -> Any:
    """The client of one process: a connection must not be shared with the one it was forked of."""
    session = boto3.Session()
    signed: dict[str, Any] = {} if session.get_credentials() else {"signature_version": UNSIGNED}
    config = Config(
        max_pool_connections=CONNECTIONS,
        retries={"mode": "standard", "max_attempts": 5},
        # As obstore addresses buckets; endpoints without wildcard names need it.
        s3={"addressing_style": "path"},
        **signed,
    )
    return session.client("s3", region_name=session.region_name or "us-east-1", config=config)

"""The training lake of the loaders' tests, with its pixels known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stac_lake.lake import Lake, open_lake
from stac_lake.store.objects import Objects
from tests.loaders import training_lake
from tests.loaders.training_lake import TrainingLake


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> TrainingLake:
    return training_lake.make(str(tmp_path_factory.mktemp("atlas") / "lake"))


@pytest.fixture(scope="session")
def lake(made: TrainingLake) -> Lake:
    return open_lake(made.url)


@pytest.fixture
def s3_lake(made: TrainingLake, make_bucket: Callable[[], str], tmp_path: Path) -> Lake:
    """A copy of the lake on S3."""
    url = make_bucket()
    source, target = Objects.open(made.url), Objects.open(url)
    for info in source.list(""):
        target.put(info.key, source.get(info.key))
    return open_lake(url, cache=tmp_path / "index")

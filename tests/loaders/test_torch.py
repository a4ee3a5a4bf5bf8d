"""Samples through torch's DataLoader: worker processes of every kind, on disk and on S3."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from training_lake import FARM, ICE, TrainingLake

from stac_lake.lake import Lake
from stac_lake.loaders import LakeDataset, collate

torch = pytest.importorskip("torch")
pytest_plugins = ("s3_fixtures",)

SMALL = {"modalities": ["s2", "no2", "so2"], "times": "one"}


def loader(dataset: LakeDataset, workers: int = 0, context: str | None = None, **more: Any) -> Any:
    """A worker that hangs is an error after two minutes."""
    return torch.utils.data.DataLoader(
        dataset,
        collate_fn=collate,
        num_workers=workers,
        multiprocessing_context=context,
        timeout=120 if workers else 0,
        **more,
    )


def assert_same(batches: list[dict[str, Any]], dataset: LakeDataset) -> None:
    """Batches of one sample each are the samples of the dataset."""
    assert [int(batch["cell"][0]) for batch in batches] == [
        dataset.cell_of(i).id for i in range(len(dataset))
    ]
    for index, batch in enumerate(batches):
        sample = dataset[index]
        for name in dataset.shapes:
            assert batch[name]["item"] == [sample[name]["item"]]
            for key in ("data", "valid", "qa", "present", "meta"):
                np.testing.assert_array_equal(batch[name][key][0].numpy(), sample[name][key])


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_on_disk_and_s3(either_lake: Lake, workers: int) -> None:
    """On S3, too, where the parent has used the store before it forks."""
    dataset = LakeDataset(either_lake, **SMALL)
    assert_same(list(loader(dataset, workers, "fork" if workers else None)), dataset)


def test_spawned_workers(s3_lake: Lake) -> None:
    dataset = LakeDataset(s3_lake, **SMALL)
    assert_same(list(loader(dataset, 2, "spawn")), dataset)


def test_missing_asset_in_a_forked_worker(s3_lake: Lake) -> None:
    """The error of the worker says what is missing."""
    objects = s3_lake.index.objects
    for info in list(objects.list("")):
        if info.key.endswith(".tif"):
            objects.delete(info.key)
    dataset = LakeDataset(s3_lake, **SMALL)
    with pytest.raises(KeyError, match="no such object"):
        list(loader(dataset, 1, "fork"))


def test_collate_pads_patches(lake: Lake, made: TrainingLake) -> None:
    dataset = LakeDataset(lake)
    batch = next(iter(loader(dataset, batch_size=3)))
    assert batch["cell"].tolist() == [ICE.id, FARM.id, FARM.id + 1]
    assert [len(patches) for patches in batch["patches"]] == [1, 2, 0]
    assert tuple(batch["s2"]["data"].shape) == (3, 2, 4, 13, 264, 264)
    assert tuple(batch["s1"]["data"].shape) == (3, 2, 4, 2, 264, 264)
    assert tuple(batch["s3"]["data"].shape) == (3, 8, 21, 96, 96)
    assert tuple(batch["dem"]["data"].shape) == (3, 960, 960)
    assert batch["dem"]["present"].tolist() == [True, True, True]
    present = batch["s2"]["present"].numpy()
    assert present.sum(axis=(1, 2)).tolist() == [2, 6, 0]
    assert not present[0, 1].any()
    absent = ~present
    assert not batch["s2"]["data"].numpy()[absent].any()
    assert not batch["s2"]["valid"].numpy()[absent].any()
    assert np.isnan(batch["s2"]["meta"].numpy()[absent]).all()
    for b in range(3):
        for n, line in enumerate(batch["s2"]["item"][b]):
            for t, item in enumerate(line):
                assert present[b, n, t] == bool(item)
                if item:
                    expected = made.pixels[item][:13]
                    np.testing.assert_array_equal(batch["s2"]["data"][b, n, t].numpy(), expected)


def test_collate_fills_dropped_modalities(lake: Lake) -> None:
    dataset = LakeDataset(lake, missing="drop", modalities=["s1", "so2", "co", "dem"])
    batch = collate([dataset[0], dataset[1]])
    assert tuple(batch["s1"]["data"].shape) == (2, 2, 4, 2, 264, 264)
    assert batch["s1"]["present"].sum(dim=(1, 2)).tolist() == [0, 4]
    assert batch["so2"]["present"].sum(dim=1).tolist() == [0, 12]
    assert batch["so2"]["item"][0] == []
    alone = collate([dataset[0]])
    assert set(alone) == {"cell", "patches", "co", "dem"}


def test_default_collate_serves_patches(lake: Lake) -> None:
    """Samples of one patch all have the same shapes."""
    dataset = LakeDataset(lake, unit="patch", modalities=["s2", "dem"])
    batch = next(iter(torch.utils.data.DataLoader(dataset, batch_size=3)))
    assert tuple(batch["s2"]["data"].shape) == (3, 4, 13, 264, 264)
    assert tuple(batch["dem"]["data"].shape) == (3, 960, 960)
    assert batch["s2"]["data"].dtype == torch.uint16


def test_large_batches_in_workers(lake: Lake) -> None:
    """uint16 goes through the workers' shared memory."""
    dataset = LakeDataset(lake, modalities=["s2"])
    (batch,) = loader(dataset, 1, "fork", batch_size=2)
    assert batch["s2"]["data"].dtype == torch.uint16
    np.testing.assert_array_equal(batch["s2"]["data"][1].numpy(), dataset[1]["s2"]["data"])

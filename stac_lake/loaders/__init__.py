"""Training samples out of a lake."""

from stac_lake.loaders.batch import collate
from stac_lake.loaders.dataset import LakeDataset
from stac_lake.loaders.sampler import sample_weights

__all__ = ["LakeDataset", "collate", "sample_weights"]

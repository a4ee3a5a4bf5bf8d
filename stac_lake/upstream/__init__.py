"""Scenes out of public STAC APIs, and bytes out of their assets."""

from stac_lake.upstream.pace import Patience
from stac_lake.upstream.scene import newest, read_item
from stac_lake.upstream.upstream import Upstream

__all__ = ["Patience", "Upstream", "newest", "read_item"]

"""Two cells, from the sandbox to a picture, on this machine alone."""

from stac_lake.demo.run import run

__all__ = ["run"]

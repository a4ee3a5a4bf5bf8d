"""The STAC API over a lake's index."""

import logging

# On import stac-fastapi makes settings of its own and warns that they have no title; ours have.
logging.getLogger("stac_fastapi.types.config").setLevel(logging.ERROR)

"""The STAC API over a lake's index."""

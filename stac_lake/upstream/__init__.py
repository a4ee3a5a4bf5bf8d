"""Scenes out of public STAC APIs, and bytes out of their assets."""

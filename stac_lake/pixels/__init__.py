"""Chips out of scenes, and COG bytes out of chips."""

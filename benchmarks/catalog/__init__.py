"""Benchmarks of the catalogue: its index, its searches and its API, against other engines."""

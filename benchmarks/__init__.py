"""Figures of the README, measured on this machine: ``python -m benchmarks [harvest|loader|index]``.

Everything runs on loopback and on disk; ours and the peer's runs alternate, and a figure is the
median of its repetitions.
"""

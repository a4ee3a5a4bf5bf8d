"""Cells into the lake: plan, task, ledger, run."""

"""What a row of the page is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from benchmarks.fidelity.bench import Bench

Truth = Literal["real", "third-party", "sandbox", "analytic"]
"""real: measured by the instrument, or annotated by its ground segment; third-party: another
program's pixels; sandbox: the formulas that the stand-in's files are made by, computed a second
time; analytic: a formula or exact solution of the test's own files."""


@dataclass(frozen=True)
class Mutation:
    """An error that is made on purpose.

    Attributes:
        name: For the page.
        made: Puts it into production for the time of a ``with``.
    """

    name: str
    made: Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Figure:
    """How far pixels are from their reference.

    Attributes:
        value: What is judged.
        bias: Mean of ours less the reference, where that says something.
        rmse: Root of the mean square, likewise.
        complete: Whether ours has a value wherever the reference has one.
    """

    value: float
    bias: float | None = None
    rmse: float | None = None
    complete: bool = True


@dataclass(frozen=True)
class Measure:
    """One figure of a row, and what it must not exceed.

    Attributes:
        name: What is measured.
        unit: Of figure and tolerance.
        tolerance: The greatest figure that is right.
        mutations: Under each of them the figure must be greater.
    """

    name: str
    unit: str
    tolerance: float
    mutations: tuple[Mutation, ...]


Figures = Mapping[str, Figure]
"""By the names of a row's measures."""


@dataclass(frozen=True)
class Row:
    """One product at one place against one reference.

    Attributes:
        product: Its id.
        place: Where, in words.
        reference: What it is compared with.
        truth: What that stands on.
        measures: What is judged.
        compare: Makes the crop anew and compares it.
        needs: What it cannot be run without (`needs.is_here`).
    """

    product: str
    place: str
    reference: str
    truth: Truth
    measures: tuple[Measure, ...]
    compare: Callable[[Bench], Figures]
    needs: str = ""

    @property
    def mutations(self) -> tuple[Mutation, ...]:
        """Those of all measures, each once."""
        return tuple(dict.fromkeys(m for measure in self.measures for m in measure.mutations))


def errors(found: Any, expected: Any, scale: float = 1.0) -> Figure:
    """Greatest absolute difference, bias and RMSE of two arrays, divided by a scale.

    Places where the reference has no value are left out.
    """
    known = np.isfinite(expected)
    off = (np.asarray(found, np.float64)[known] - np.asarray(expected, np.float64)[known]) / scale
    here = off[np.isfinite(off)]
    if not here.size:
        return Figure(float("inf"), complete=False)
    rmse = float(np.sqrt((here**2).mean()))
    return Figure(float(np.abs(here).max()), float(here.mean()), rmse, here.size == off.size)


def differing(found: Any, expected: Any) -> Figure:
    """Percentage of elements that are not the same."""
    return Figure(100.0 * float((np.asarray(found) != np.asarray(expected)).mean()))

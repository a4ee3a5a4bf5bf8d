"""Rows, run and judged: as they are, and under each of their mutations."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from benchmarks.fidelity.bench import Bench
from benchmarks.fidelity.needs import is_here
from benchmarks.fidelity.rows import Figure, Measure, Mutation, Row


@dataclass(frozen=True)
class Result:
    """One measure of a row under one mutation; all figures are None if the row was not run.

    Attributes:
        product: Its id.
        place: Where, in words.
        reference: What it was compared with.
        truth: What that stands on.
        measure: What was measured.
        figure: As it is.
        bias: Mean of ours less the reference, where there is one.
        rmse: Root of the mean square, likewise.
        unit: Of these.
        tolerance: What the figure must not exceed.
        met: Whether it does not.
        mutation: The error made on purpose.
        mutated_figure: With it; None also where no pixels were left to compare.
        mutation_caught: Whether that one does, or pixels are missing.
        seconds: Per crop.
        peak_mb: Growth of the process while a crop was made.
        needs: What the row cannot be run without.
    """

    product: str
    place: str
    reference: str
    truth: str
    measure: str
    figure: float | None
    bias: float | None
    rmse: float | None
    unit: str
    tolerance: float
    met: bool | None
    mutation: str
    mutated_figure: float | None
    mutation_caught: bool | None
    seconds: float | None
    peak_mb: float | None
    needs: str

    @property
    def document(self) -> dict[str, object]:
        """For the JSON file."""
        return asdict(self)


def run(row: Row, bench: Bench) -> Iterator[Result]:
    """All measures of a row, each under all its mutations."""
    if not is_here(row.needs):
        for measure in row.measures:
            yield from (_not_run(row, measure, mutation) for mutation in measure.mutations)
        return
    bench.reset()
    found = row.compare(bench)
    seconds = bench.seconds / max(bench.crops, 1)
    peak = bench.peak_mb
    mutated = {}
    for mutation in row.mutations:
        with mutation.made():
            mutated[mutation] = row.compare(bench)
        gc.collect()
    for measure in row.measures:
        figure = found[measure.name]
        for mutation in measure.mutations:
            other = mutated[mutation][measure.name]
            yield Result(
                row.product, row.place, row.reference, row.truth, measure.name,
                _rounded(figure.value), _rounded(figure.bias), _rounded(figure.rmse),
                measure.unit, measure.tolerance, _is_met(figure, measure), mutation.name,
                _rounded(other.value), not _is_met(other, measure), _rounded(seconds),
                None if peak is None else round(peak, 1), row.needs,
            )  # fmt: skip


def run_all(rows: Iterable[Row], bench: Bench) -> Iterator[Result]:
    """All rows, one after the other."""
    for row in rows:
        yield from run(row, bench)


def _is_met(figure: Figure, measure: Measure) -> bool:
    return bool(figure.complete and figure.value <= measure.tolerance)  # NaN is not


def _rounded(value: float | None) -> float | None:
    """Three significant digits; None for what is no number."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.3g}")


def _not_run(row: Row, measure: Measure, mutation: Mutation) -> Result:
    return Result(
        row.product, row.place, row.reference, row.truth, measure.name, None, None, None,
        measure.unit, measure.tolerance, None, mutation.name, None, None, None, None, row.needs,
    )  # fmt: skip

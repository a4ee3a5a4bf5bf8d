"""The page of figures says what the file of figures says."""

from __future__ import annotations

from benchmarks.results import BEGIN, END, README, RESULTS, TABLE, headlines, load, table


def test_the_table_agrees_with_the_results() -> None:
    entries = load(RESULTS)
    assert entries
    assert TABLE.read_text(encoding="utf-8").endswith("\n\n" + table(entries))


def test_every_figure_names_its_command_and_states_its_goal() -> None:
    for entry in load(RESULTS):
        assert entry["command"].startswith("python -m benchmarks ")
        assert entry["figure"] > 0
        assert (entry["met"] is None) == (entry["goal"] == "")


def test_the_readme_quotes_the_table() -> None:
    readme = README.read_text(encoding="utf-8")
    assert f"{BEGIN}\n{table(headlines(load(RESULTS)))}{END}" in readme
    assert "make bench" in readme

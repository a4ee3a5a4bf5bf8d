# Two commands for newcomers: `make demo` and `make test`. Each sets up .venv by itself.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TORCH := $(VENV)/.torch
RUSTAC := .venv-rustac

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all,dev]'
	@touch $@

# The plain CPU build: other installers resolve several gigabytes of CUDA libraries.
$(TORCH): $(INSTALLED)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch==2.13.0
	@touch $@

setup: $(INSTALLED) ## Make .venv with all extras

demo: $(INSTALLED) ## Harvest two cells from the sandbox, query them, draw them (no network)
	$(BIN)/stac-lake demo

test: $(INSTALLED) $(TORCH) ## Tests of the first tier: no root, no network
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-services: $(INSTALLED) $(TORCH) ## Tests against real services and judges (root, apt)
	bash tests/services/install.sh
	$(BIN)/python -m pytest tests/services

sandbox-check: $(INSTALLED) ## Ask the field's own readers about the sandbox's files
	bash tests/services/install.sh judges
	$(BIN)/python -m pytest tests/services/test_sandbox_judges.py tests/services/test_api_judges.py

check: $(INSTALLED) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(INSTALLED) ## Write the facts of docs/products/ from the YAML
	$(BIN)/python -m docs.product_pages

bench: $(INSTALLED) $(TORCH) ## Benchmarks; writes benchmarks/results.json and the README's table
	$(BIN)/python -m benchmarks

fidelity: $(INSTALLED) ## Pixels against independent references; writes docs/fidelity.json and .md
	$(BIN)/python -m benchmarks.fidelity

# A peer with a DuckDB of its own, which ours must not meet.
$(RUSTAC)/.installed: benchmarks/catalog/peers.txt
	$(PYTHON) -m venv $(RUSTAC)
	$(RUSTAC)/bin/python -m pip install --quiet -r benchmarks/catalog/peers.txt
	@touch $@

bench-catalog: $(INSTALLED) $(RUSTAC)/.installed ## Queries against their peers; writes benchmarks/catalog.json
	STAC_LAKE_BENCH_RUSTAC=$(RUSTAC)/bin/python $(BIN)/python -m benchmarks.catalog

browser: ## Build STAC Browser for `stac-lake serve` (needs Node.js 18 and npm)
	bash infra/browser/build.sh

clean: ## Remove what was built
	rm -rf $(VENV) $(RUSTAC) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.PHONY: help setup demo test test-services sandbox-check check docs bench bench-catalog fidelity browser clean

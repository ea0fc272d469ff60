# `make demo` and `make test` do all the set-up that they need.
# TORCH may name another build of torch: the arguments that pytorch.org's selector prints.

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-fast test-all notebooks lint format clean

demo: $(READY)
	$(BIN)/iisan demo

test: $(READY) lint
	$(BIN)/pytest -m "not slow"

test-fast: $(READY)
	$(BIN)/pytest -m "not slow and not long"

test-all: $(READY) lint
	$(BIN)/pytest

# The notebooks share the workspace of `make demo`.
notebooks: $(READY)
	IISAN_WORKSPACE=$(CURDIR)/workspace $(BIN)/jupyter lab notebooks

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): pyproject.toml .ci/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; set PYTHON")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint .ci/constraints.txt $(TORCH)
	$(BIN)/pip install --quiet --constraint .ci/constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache

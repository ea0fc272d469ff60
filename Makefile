# `make demo` and `make test` do all the set-up that they need.
# TORCH may name another build of torch: the arguments that pytorch.org's selector prints.
# WORKERS is how many processes share the tests, a file each at a time; slow tests, which measure, have the machine
# for themselves.

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch
WORKERS ?= 2
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SHARED := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-fast test-all notebooks lint format clean

demo: $(READY)
	$(BIN)/iisan demo

test: $(READY) lint
	$(BIN)/pytest $(SHARED) -m "not slow"

test-fast: $(READY)
	$(BIN)/pytest $(SHARED) -m "not slow and not long"

test-all: test
	$(BIN)/pytest -m slow

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

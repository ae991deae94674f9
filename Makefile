# `make demo` and `make test` set up all they need in .venv, from python3, make and a package index.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
EXTRAS := .venv-extras
WORKERS ?= 2
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
WHEEL  := $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation

.DEFAULT_GOAL := help
.PHONY: help demo test soak extras check format bench clean

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1	/' | expand -t 18

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "textgen needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)."; \
	  echo "Name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) lacks the venv module, which makes the environment in $(VENV)."; \
	  echo "On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/train.ready: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing textgen with what training needs into $(VENV) (minutes, the first time) ..."
	$(PIP) -e '.[train]'
	@touch $@

$(VENV)/dev.ready: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing textgen with what its tests need into $(VENV) (minutes, the first time) ..."
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/train.ready

demo: $(VENV)/train.ready ## learn Shakespeare for a minute, then write some
	$(BIN)/textgen train --cell lstm --minutes 1
	@echo
	$(BIN)/textgen generate --onnx model.onnx --length 600
	@echo
	@echo "To run textgen from this shell:  source $(BIN)/activate"

test: $(VENV)/dev.ready check ## lint, types, import rules and every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope
	@echo "To run textgen from this shell:  source $(BIN)/activate"

soak: $(VENV)/dev.ready ## the tests that have a long form, at full length (an hour)
	TEXTGEN_SOAK=1 $(BIN)/python -m pytest --timeout 7200 $$(grep -rl --include="test_*.py" "^from soak import" tests)

# The toolkit's wheel lies apart: pip is given it once, with what its tests need.
extras: $(VENV)/dev.ready ## wheels of all in plugins/extra, tested in a clean environment
	$(PYTHON) -m venv --clear $(EXTRAS)
	$(WHEEL) --wheel-dir $(EXTRAS)/toolkit .
	$(WHEEL) --wheel-dir $(EXTRAS)/wheels $(dir $(wildcard plugins/extra/*/pyproject.toml))
	$(EXTRAS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  "$$(echo $(EXTRAS)/toolkit/*.whl)[test]" $$(printf '%s[test] ' $(EXTRAS)/wheels/*.whl)
	OMP_NUM_THREADS=1 $(EXTRAS)/bin/python -m pytest -n $(WORKERS) --dist loadscope \
	  --import-mode importlib plugins/extra/*/tests

check: $(VENV)/dev.ready ## lint, types and import rules alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python plugins/extra/imports.py

format: $(VENV)/dev.ready ## put the code into its one form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev.ready ## measure: each benchmark prints one table
	$(BIN)/python benchmarks/packing.py
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/starting.py

clean: ## remove the environment and what tools left
	rm -rf $(VENV) $(EXTRAS) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

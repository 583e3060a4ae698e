# Every command of the project. `make` lists them; `make roadmap` and `make test` set up what they need by themselves.
PYTHON ?= python3
BIN := .venv/bin
SEEDS ?= 0
STUDY ?= my_study
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL := help
.PHONY: help install roadmap table test test-fast lint lock freeze wheel clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

install: .venv/installed  ## build .venv with the locked versions (the other targets do it when needed)

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "modernet needs Python 3.11 or newer, this is %d.%d: make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

roadmap: install  ## train every step once on the embedded digits, then print the table (SEEDS=0,1,2 for more seeds)
	$(BIN)/python train.py --multirun '+step=glob(*)' seed=$(SEEDS)
	@$(BIN)/python scripts/table.py --protocol digits

table: install  ## print the results table of everything trained so far
	@$(BIN)/python scripts/table.py

test: install  ## run all tests
	$(BIN)/pytest -n auto --dist loadgroup

test-fast: install  ## run the tests that take seconds
	$(BIN)/pytest -n auto --dist loadgroup -m 'not slow'

lint: install  ## ruff and pyright, as before every commit
	$(BIN)/pre-commit run --all-files

freeze: install  ## copy the records (no weights) to results/studies/STUDY, with the generated table
	$(BIN)/python scripts/freeze.py $(STUDY)

wheel: install  ## build the wheel into dist/
	$(BIN)/python -m build --wheel

lock: install  ## resolve the newest versions again and write requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --quiet --output-file requirements.lock

clean:  ## remove .venv and caches; results/ stays
	rm -rf .venv dist build .pytest_cache .ruff_cache

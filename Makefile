# Every command of the project. `make` lists them; `make roadmap` and `make test` set up what they need by themselves.
PYTHON ?= python3
BIN := .venv/bin
PROTOCOL ?= digits
SEEDS ?= 0
# A run a core; on a GPU one after another, as only you know how many networks fit on it.
LAUNCHER ?= $(if $(wildcard /dev/nvidia0),basic,joblib)
STUDY ?= my_study
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL := help
.PHONY: help install roadmap kernels leave-one-out table report test test-fast lint lock freeze wheel clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

install: .venv/installed  ## build .venv with the locked versions (the other targets do it when needed)

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "modernet needs Python 3.11 or newer, this is %d.%d: make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The three studies take PROTOCOL=, SEEDS=0,1,2 and LAUNCHER=basic, joblib or slurm. What is done already is found.
SWEEP = $(BIN)/python train.py --multirun protocol=$(PROTOCOL) seed=$(SEEDS) hydra/launcher=$(LAUNCHER)
# The table of what was done, also where a run failed.
THEN_TABLE = ; status=$$?; $(BIN)/python scripts/table.py --protocol $(PROTOCOL) && exit $$status
comma := ,
empty :=
STEPS := $(basename $(notdir $(wildcard configs/step/*.yaml)))
LEFT_OUT := $(subst $(empty) $(empty),$(comma),$(filter-out resnet50 modern_recipe,$(STEPS)))

roadmap: install  ## train every step on the embedded digits and print the table (PROTOCOL=cifar10 SEEDS=0,1,2 LAUNCHER=slurm)
	$(SWEEP) '+step=glob(*)' $(THEN_TABLE)

kernels: install  ## train kernel sizes 3 to 11 and print the table
	$(SWEEP) +step=move_up_depthwise model.kernel_size=3,5,7,9,11 $(THEN_TABLE)

leave-one-out: install  ## train the end without each of its steps and print the table
	$(SWEEP) +step=convnext 'without=[],$(LEFT_OUT)' $(THEN_TABLE)

table: install  ## print the results table of everything trained so far
	@$(BIN)/python scripts/table.py

report: install  ## write results/report.html: conclusions, tables, figures, every run (of results/runs, else results/studies)
	$(BIN)/python scripts/report.py

test: install  ## run all tests
	$(BIN)/pytest -n auto --dist loadgroup

test-fast: install  ## run the tests that take seconds
	$(BIN)/pytest -n auto --dist loadgroup -m 'not slow'

lint: install  ## ruff and pyright, as before every commit
	$(BIN)/pre-commit run --all-files

freeze: install  ## copy the records (no weights) to results/studies/STUDY, with generated tables and figures
	$(BIN)/python scripts/freeze.py $(STUDY)

wheel: install  ## build the wheel into dist/
	$(BIN)/python -m build --wheel

lock: install  ## resolve the newest versions again and write requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --quiet --output-file requirements.lock

clean:  ## remove .venv and caches; results/ stays
	rm -rf .venv dist build .pytest_cache .ruff_cache

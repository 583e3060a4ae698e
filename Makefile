# The commands of the project; `make` lists them. Each target installs what it needs into .venv.
export PYTHON ?= python3
PROTOCOL ?= digits
SEEDS ?= 0
LAUNCHER ?= local
STUDY ?= my_study
# The build of torch: default, or cpu for one without the CUDA libraries. An existing .venv keeps its build.
TORCH ?= $(or $(patsubst .venv/installed-%,%,$(firstword $(wildcard .venv/installed-*))),default)
ifeq ($(filter $(TORCH),default cpu),)
$(error TORCH must be default or cpu, got '$(TORCH)')
endif

BIN := .venv/bin
INSTALLED := .venv/installed-$(TORCH)
DEV_INSTALLED := .venv/dev-installed
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL := help
.PHONY: help install roadmap kernels leave-one-out add-one-in table report freeze test test-all lint lock audit wheel clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

install: $(INSTALLED)  ## install the locked packages into .venv (TORCH=cpu: without the CUDA libraries)

$(INSTALLED): requirements.lock requirements-setup.lock pyproject.toml scripts/install.sh
	@scripts/install.sh $(TORCH)
	@touch $@

$(DEV_INSTALLED): $(INSTALLED) requirements-dev.lock
	@scripts/install.sh dev
	@touch $@

# Train a study (configs/study/) and print the table of its protocol, also where a run failed; not after a mistake in the
# command (status 2). Finished runs are skipped.
run_study = $(BIN)/python train.py +study=$(1) protocol=$(PROTOCOL) seed=$(SEEDS) hydra/launcher=$(LAUNCHER); \
	status=$$?; [ $$status = 2 ] || $(BIN)/python scripts/table.py --protocol $(PROTOCOL) || status=$$?; exit $$status

roadmap: $(INSTALLED)  ## train every step and print the table (PROTOCOL=cifar10 SEEDS=0,1,2 LAUNCHER=local|basic|slurm)
	$(call run_study,roadmap)

kernels: $(INSTALLED)  ## train kernel sizes 3 to 11 and print the table
	$(call run_study,kernels)

leave-one-out: $(INSTALLED)  ## train the last step without each of the earlier ones and print the table
	$(call run_study,leave_one_out)

add-one-in: $(INSTALLED)  ## train the start with each of the steps alone and print the table
	$(call run_study,add_one_in)

table: $(INSTALLED)  ## print the results table of all runs
	@$(BIN)/python scripts/table.py

report: $(INSTALLED)  ## write results/report.html: conclusions, tables, figures, runs
	$(BIN)/python scripts/report.py

freeze: $(INSTALLED)  ## copy the records, without weights, to results/studies/STUDY with tables and figures
	$(BIN)/python scripts/freeze.py $(STUDY)

# No process is started again: `loadgroup` then waits for ever for the tests of the one that died.
PYTEST := $(BIN)/pytest -n auto --dist loadgroup --max-worker-restart=0
test: $(DEV_INSTALLED)  ## run all tests but the slow ones
	$(PYTEST) -m 'not slow'

test-all: $(DEV_INSTALLED)  ## run all tests
	$(PYTEST) --durations=40

lint: $(DEV_INSTALLED)  ## run ruff, pyright and import-linter
	$(BIN)/pre-commit run --all-files

# Names, versions and hashes for every platform and Python, no addresses. requirements-dev.lock lists what the other two lack.
COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock: $(INSTALLED)  ## resolve the newest versions and rewrite the locks
	$(COMPILE) --group setup --output-file requirements-setup.lock
	$(COMPILE) pyproject.toml --all-extras --constraint requirements-setup.lock --output-file requirements.lock
	$(COMPILE) --group dev --constraint requirements-setup.lock --constraint requirements.lock --output-file requirements-dev.lock \
		$$(sed -n 's/^\([a-z0-9.-]*\)==.*/--no-emit-package \1/p' requirements-setup.lock requirements.lock)

audit: $(DEV_INSTALLED)  ## check the locked packages for known vulnerabilities
	@scripts/audit.sh

wheel: $(INSTALLED)  ## build the wheel and the sdist into dist/
	$(BIN)/uv build --no-build-isolation --quiet

clean:  ## remove .venv and caches; results/ stays
	rm -rf .venv dist build .pytest_cache .ruff_cache .grimp_cache .import_linter_cache

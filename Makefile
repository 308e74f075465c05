# Each target sets up what it needs: on a fresh clone `make train` alone is enough.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help setup train weights test test-fast check bench ui lock clean-cache clean slurm-up slurm-down test-slurm mlflow-server test-browser picture rooms evidence notebooks

# PYTHON: a Python 3.11, found by .ci/setup if not given. ARGS: passed on to what a target runs.
PYTHON ?=
ARGS ?=
STORE ?= runs/mlflow.db
PORT ?= 5000
AUTH ?= 0

export MLFLOW_DISABLE_TELEMETRY := true
export HF_HUB_DISABLE_TELEMETRY := 1

help: ## Show this list
	@echo 'make TARGET [ARGS="…"]    such as: make train ARGS="prompt=context seed=1"'
	echo
	awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: ## Make .venv from requirements.lock (the others do it where it is needed)
	@PYTHON="$(PYTHON)" bash .ci/setup

train: setup ## Train, test and report; ARGS are settings, ARGS=--help lists them
	@.venv/bin/python -m ordinalclip.train $(ARGS)

weights: setup ## Fetch a backbone's weights, say what to copy to machines without internet (backbone=vit_b16)
	@.venv/bin/python -m ordinalclip.weights $(if $(backbone),backbone=$(backbone)) $(ARGS)

# Two processes of one thread each: torch's own threads gain little on the small towers of the tests. A file's tests share
# its fixtures, so they run in one process; by default the files of a few long tests would come last. Compiled tests are
# kept: to compile them takes a third of the time that pytest needs to collect them.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: setup ## Run all tests
	@$(PYTEST) $(ARGS)

test-fast: setup ## Run the tests that take no more than a second each
	@$(PYTEST) -m "not slow" $(ARGS)

check: setup ## Lint, format, types, spelling, imports
	@.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy
	.venv/bin/python -m codespell_lib
	.venv/bin/lint-imports --no-logo

bench: setup ## Measure speed and memory against a naive mode; writes docs/benchmarks.md (ARGS=--quick)
	@.venv/bin/python -m ordinalclip.bench $(ARGS)

ui: setup ## Open MLflow on the runs, with addresses of the last sweep (STORE=runs/mlflow.db PORT=5000 SWEEP=…)
	@if [ ! -f "$(STORE)" ]; then
		echo "ui: there is no $(STORE) yet; the first run makes it (make train)" >&2
		exit 1
	fi
	exec .venv/bin/python -m analysis.ui "store=$(STORE)" port=$(PORT) $(if $(SWEEP),"sweep=$(SWEEP)")

mlflow-server: setup ## Start an MLflow server with PostgreSQL, for many writers (HOST=127.0.0.1 PORT=5000 AUTH=1 DIR=… DATABASE=…)
	@# HOST from the command line alone: some shells set it to the machine's name.
	exec .venv/bin/python -m launch.mlflow_server $(if $(findstring command,$(origin HOST)),host=$(HOST)) \
		port=$(PORT) $(if $(filter-out 0,$(AUTH)),auth=true) $(if $(DIR),"folder=$(DIR)") $(if $(DATABASE),"database=$(DATABASE)")

rooms: setup ## Draw docs/rooms.svg anew, from the import contracts
	@.venv/bin/python -m tests.architecture

picture: setup ## Make docs/mlflow.png anew, with that browser
	@OMP_NUM_THREADS=1 ORDINALCLIP_PICTURE=docs/mlflow.png .venv/bin/python -m pytest tests/browser/test_mlflow_ui.py

lock: setup ## Write requirements.lock anew from pyproject.toml (ARGS=--upgrade for newer versions)
	@.venv/bin/python -m venv .cache/lock
	.cache/lock/bin/python -m pip install --quiet 'pip-tools>=7.5,<8'
	# What only anny's code requires: 200 MB that nothing here imports. Named unsafe, they are told of and not locked.
	.cache/lock/bin/pip-compile --quiet --generate-hashes --strip-extras --no-annotate --no-header \
		--unsafe-package roma --unsafe-package trimesh --unsafe-package warp-lang \
		--no-emit-find-links --no-emit-index-url --no-emit-trusted-host \
		--extra demo --extra dev --extra export --extra notebooks --extra server --output-file requirements.lock $(ARGS) pyproject.toml

clean-cache: setup ## Remove decoded images and features, never weights (ARGS="--to-gb 10" keeps the newest)
	@.venv/bin/python -m ordinalclip.cache --clean $(ARGS)

clean: ## Remove what tools and builds leave behind; never runs/ or data/
	@rm -rf .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .coverage build dist *.egg-info
	find . \( -path ./.venv -o -path ./.cache -o -path ./runs -o -path ./data -o -path ./.git \) -prune \
		-o -type d -name __pycache__ -prune -exec rm -rf {} +
	for kept in runs data .cache .venv; do
		if [ -e "$$kept" ]; then echo "clean: left $$kept ($$(du -sh "$$kept/" | cut -f1))"; fi
	done

# DIR: where the cluster's state lies; two clusters side by side have two.
slurm-up: ## Start a SLURM cluster on this machine, to try sweeps on; prints export SLURM_CONF=… (DIR=.cache/slurm)
	@bash launch/slurm/start.sh $(if $(DIR),"$(DIR)")

slurm-down: ## Stop it
	@bash launch/slurm/stop.sh $(if $(DIR),"$(DIR)")

test-slurm: setup ## Run the tests that need a SLURM cluster, on one of their own
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest tests/slurm $(ARGS)

evidence: setup ## Compare prompts and heads on gauges; goes on where it was; writes docs/evidence.md (ARGS=--quick)
	@.venv/bin/python -m analysis.evidence $(ARGS)

test-browser: setup ## Run the tests that need a browser (Debian's chromium)
	@.venv/bin/python -m pytest tests/browser $(ARGS)

notebooks: setup ## Train a few small runs and render the notebooks on them, to docs/notebooks
	@.venv/bin/python -m analysis.render runs=.cache/notebooks $(ARGS)

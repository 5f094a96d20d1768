# The front desk: sets up, runs, checks. `make` alone lists what there is. Run it here, or with make -C.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-learned cloud test test-ci soak lint lock bench clean
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV CONDA_PREFIX

PYTHON ?=
TORCH ?=
MINUTES ?= 60
JOBS ?= 2
UPGRADE ?=
RUN := .venv/bin/python -m
export PYTHON

ifeq ($(wildcard pyproject.toml),)
$(error run make in the repository's root, or say where it is: make -C PATH)
endif

help: ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: ## .venv/bin/aether, ready; TORCH=cpu or TORCH=cuda adds the learned codecs
	@requirements/sync $(if $(TORCH),learned $(TORCH),core)
	@echo "ready: .venv/bin/aether"

demo: ## real codec experiments on the footage in clips/, with a report; run again, it carries on
	@requirements/sync core
	@.venv/bin/aether demo

demo-learned: ## the same with networks trained beside the classic encoders; installs the learned codecs first
	@requirements/sync learned $(TORCH)
	@.venv/bin/aether demo --learned

lint: ## ruff, mypy --strict and the rooms' import arrows
	@requirements/sync dev
	@$(RUN) ruff check .
	@$(RUN) mypy
	@.venv/bin/lint-imports

test: lint ## lint and the tests of every change (under 10 minutes on 2 cores)
	@$(RUN) pytest -n $(JOBS) -m "not ci and not soak" --ignore=tests/simulator --cov --cov-report=term --cov-fail-under=85
	@# Counting branches would make the simulator's worlds three times as slow.
	@$(RUN) pytest -n $(JOBS) -m "not ci and not soak" tests/simulator

cloud: ## what deploys to AWS: the CDK and its command line, npx cdk
	@requirements/sync cdk
	@$(RUN) cdk.packages
	@npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@echo "ready: npx cdk"

test-ci: ## tests that need torch, Java, the emulator or many killed processes
	@requirements/sync learned $(TORCH)
	@requirements/sync cdk
	@$(RUN) cdk.packages
	@if command -v npm >/dev/null; then npm ci --ignore-scripts --no-audit --no-fund --loglevel=error; fi
	@tests/support/aws/install
	@$(RUN) pytest -n $(JOBS) -m ci

soak: ## long tests for MINUTES=60; says what it has done and goes on from there
	@requirements/sync learned $(TORCH)
	@AETHER_SOAK_MINUTES=$(MINUTES) $(RUN) pytest -s -m soak --timeout=0

bench: ## every benchmark, each printed as a table
	@requirements/sync dev
	@for file in benchmarks/[a-z]*.py; do $(RUN) benchmarks.$$(basename "$$file" .py); done

lock: ## requirements/*.txt again from pyproject.toml; UPGRADE=1 for newer releases
	@requirements/lock $(if $(UPGRADE),--upgrade)

clean: ## remove what was built here; a lab's own folder stays
	@rm -rf .venv .coverage .*_cache build *.egg-info cdk.out node_modules tests/support/aws/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

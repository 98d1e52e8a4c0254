# Every target sets up what it needs by itself: packaging/dev/setup.
SHELL := /bin/bash
.DEFAULT_GOAL := help

KEEP ?= 1
PYTEST = .venv/bin/python -m pytest
# As many workers as there are processors. The lab's tests mostly wait (for leases, boots, silence): each file has labs
# of its own names, so two files at a time do not meet.
WORKERS ?= logical
LAB = $(PYTEST) -m lab --numprocesses 2 --dist loadfile

.PHONY: help setup test test-fast test-lab lint fmt demo lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv from the pinned versions, and install the Debian packages that are missing (as root)
	@packaging/dev/setup

test: setup ## run all tests: linters, unit and property tests, then the lab (needs root)
	$(PYTEST) -m "not lab" --numprocesses $(WORKERS) --dist worksteal
	$(LAB)

test-fast: setup ## run the unit and property tests alone
	$(PYTEST) -m "not lab" --ignore tests/test_linters.py --numprocesses $(WORKERS) --dist worksteal

test-lab: setup ## run the lab's tests alone (needs root)
	$(LAB)

lint: setup ## run the linters: ruff, mypy, shellcheck, import direction
	$(PYTEST) tests/test_linters.py

fmt: setup ## put the sources in their one format, and mend what ruff can mend
	.venv/bin/ruff check --fix --exit-zero --quiet .
	.venv/bin/ruff format .

demo: setup ## rehearse the promises on three nodes and keep the mesh up until Ctrl-C; KEEP=0 checks and goes
	.venv/bin/skerry lab demo $(if $(filter 0,$(KEEP)),--no-keep,--keep)

lock: setup ## choose versions and hashes anew for packaging/dev/requirements.in
	packaging/dev/lock

clean: ## delete .venv and everything else that was made here
	rm -rf .venv .venv.lock build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# Every target sets up what it needs by itself: packaging/dev/setup.
SHELL := /bin/bash
.DEFAULT_GOAL := help

KEEP ?= 1
PYTEST = .venv/bin/python -m pytest
# The simulator has as many workers as there are processors. Other tests wait now and then, the lab's mostly (for leases,
# boots, silence): each of its files has labs of its own names, so several files at a time do not meet, and the
# simulator's seeds take the time that they leave.
WORKERS ?= 4
SIM_WORKERS ?= logical
LAB = packaging/dev/roomy $(PYTEST) -m lab --numprocesses $(LAB_WORKERS) --dist loadfile
LAB_WORKERS ?= 4
SIM = nice -n 19 $(PYTEST) -m sim --numprocesses $(SIM_WORKERS) --dist worksteal
BESIDE = build/sim.txt
VM_LIMIT ?= 3000

.PHONY: help setup test test-fast test-lab test-sim vm-test lint fmt bench demo lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv from the pinned versions, and install the Debian packages that are missing (as root)
	@packaging/dev/setup

test: setup ## run all tests: linters, unit and property tests, then the lab (needs root)
	$(PYTEST) -m "not lab and not sim" --numprocesses $(WORKERS) --dist worksteal
	@mkdir -p $(dir $(BESIDE))
	@$(SIM) >$(BESIDE) 2>&1 & sim=$$!; $(LAB); lab=$$?; wait $$sim; sim=$$?; cat $(BESIDE); exit $$((lab | sim))

test-fast: setup ## run the unit and property tests alone
	$(PYTEST) -m "not lab and not sim" --ignore tests/test_linters.py --numprocesses $(WORKERS) --dist worksteal

test-sim: setup ## play the simulator's seeds alone
	$(SIM)

test-lab: setup ## run the lab's tests alone (needs root)
	$(LAB)

vm-test: setup ## boot whole machines in QEMU: the kernel's WireGuard, cold boots, power cuts (20 minutes, as root)
	@tested=$$(.ci/vm digest) && SKERRY_VM=1 timeout --foreground --signal=INT --kill-after=60 $(VM_LIMIT) \
		$(PYTEST) -o faulthandler_timeout=0 tests/vm && .ci/vm passed "$$tested"

lint: setup ## run the linters: ruff, mypy, shellcheck, import direction
	$(PYTEST) tests/test_linters.py

fmt: setup ## put the sources in their one format, and mend what ruff can mend
	.venv/bin/ruff check --fix --exit-zero --quiet .
	.venv/bin/ruff format .

bench: setup ## measure speed and size beside what is there (an hour and a half, as root); BENCH="--quick rest" for less, or one
	.venv/bin/python -m tests.bench --json build/bench.json $(BENCH)

demo: setup ## rehearse the promises on three nodes and keep the mesh up until Ctrl-C; KEEP=0 checks and goes
	.venv/bin/skerry lab demo $(if $(filter 0,$(KEEP)),--no-keep,--keep)

lock: setup ## choose versions and hashes anew for packaging/dev/requirements.in
	packaging/dev/lock

clean: ## delete .venv and everything else that was made here
	rm -rf .venv .venv.lock build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

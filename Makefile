# The whole vocabulary of a developer here: demo, test, check, bench, fuzz.
# Each target makes the virtual environment first, so a fresh clone needs Python 3.11 or later, make, and nothing else.

PYTHON ?= python3
BIN    := .venv/bin

.PHONY: demo test check bench fuzz

demo: .venv/ready
	$(BIN)/python -m xds.demo

# STORES=embedded, then STORES=grown: the same in two parts after `make check`, the nodes of the second on PostgreSQL
# and S3 (.ci/ceph unpacks a server; tests/stores.py).
STORES ?=
test: .venv/ready
	XDS_TEST_STORES=$(STORES) $(BIN)/python -m pytest

# ruff cannot read setup.cfg, so its settings stand here.
RUFF := --line-length 110 --target-version py311
check: .venv/ready
	$(BIN)/ruff format --check $(RUFF) xds tests bench conformance docker
	$(BIN)/ruff check $(RUFF) --select E,W,F,I,UP,B,C4,SIM,RUF,PT,S --ignore $(RUFF_IGNORE) --per-file-ignores $(RUFF_TESTS) xds tests bench conformance docker
	$(BIN)/mypy
	$(BIN)/python -m pytest -n0 tests/test_imports.py
	XDS_TEST_STORES=gates $(BIN)/python -m pytest tests/access tests/metadata tests/security --cov --cov-report=json:.coverage.json
	$(BIN)/python -m tests.coverage .coverage.json

# S: security lints. In tests: assert is the point, keys and people are made up.
# SIM300: in tests what is expected may stand first.
RUFF_IGNORE := S101,S311,RUF001,RUF002,RUF003
RUFF_TESTS  := 'tests/*:S','tests/*:SIM300','bench/*:S','conformance/*:S','docker/*:S'

# SIZES="10000 100000 1000000 5000000": what a registry costs as it grows, on both databases; docs/benchmarks.md anew.
SIZES ?=
bench: .venv/ready
	$(BIN)/python -m $(if $(SIZES),bench.growth --sizes $(SIZES) --publish docs,bench)

# Every property with so many times the examples of a test run.
TIMES ?= 20
fuzz: .venv/ready
	XDS_FUZZ_TIMES=$(TIMES) $(BIN)/python -m pytest -m hypothesis

.venv/ready: setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "xds needs Python 3.11 or later: make PYTHON=/path/to/python3.11 …")'
	@echo "Setting up .venv, once: a minute or two"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

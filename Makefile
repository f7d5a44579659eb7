# Everything a reader or CI needs. Each target sets up .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TIER ?=
NAME ?=

.PHONY: book chapter test check bench clean

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	touch $@

# Build the site from the recorded outputs; with TIER=smoke|laptop|full execute all chapters first.
book: $(READY)
	$(BIN)/python -m mchelpers book $(if $(TIER),--tier $(TIER))

# Execute one chapter, e.g. make chapter NAME=graphene_hrtem/03_unet TIER=laptop
chapter: $(READY)
	$(BIN)/python -m mchelpers execute $(NAME) $(if $(TIER),--tier $(TIER))

# Hold the pages against the record and the claims.
check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mchelpers check

# Unit tests, every chapter at the smoke tier, the lock, the strict build.
test: check
	$(BIN)/python -m pytest -q tests
	MCHELPERS_TIER=smoke MCHELPERS_RUNS=$$(mktemp -d) $(BIN)/python -m pytest -q --nbmake --nbmake-timeout=300 book
	$(BIN)/python -m mchelpers book

# Times of the methods on this machine.
bench: $(READY)
	$(BIN)/python benchmarks/bench.py

clean:
	rm -rf _build .runs .pytest_cache .ruff_cache .hypothesis

# Everything a reader or CI needs. Each target sets up .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TIER ?=
NAME ?=

.PHONY: help book pdf chapter verify verifiable named test mutants check bench clean

help: ## list what make can do here
	@echo "make TARGET, e.g. make book; the first one installs into $(VENV) (8 GB, some minutes):"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' Makefile

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	@echo "1 of 3: a virtual environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)
	@echo "2 of 3: the packages of the record, about 8 GB; pip names each one, some minutes in all"
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	@echo "3 of 3: the helper package"
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	touch $@

book: $(READY) ## build the site from the recorded outputs; TIER=smoke|laptop|full executes all first
	$(BIN)/python -m mchelpers book $(if $(TIER),--tier $(TIER))

pdf: book ## the whole book as one PDF; needs Chromium
	$(BIN)/python tools/pdf.py

chapter: named $(READY) ## execute one, e.g. make chapter NAME=graphene_hrtem/02_bragg TIER=smoke
	$(BIN)/python -m mchelpers execute $(NAME) $(if $(TIER),--tier $(TIER))

verify: verifiable $(READY) ## execute one again and compare, e.g. make verify NAME=graphene_hrtem/02_bragg; TIER=smoke: twice
	$(BIN)/python -m mchelpers verify $(NAME) $(if $(TIER),--tier $(TIER))

verifiable:
	@test -n "$(NAME)$(filter smoke,$(TIER))" || { echo "Name a chapter: make verify NAME=graphene_hrtem/02_bragg; all, quickly: make verify TIER=smoke"; exit 1; }

named:
	@test -n "$(NAME)" || { echo "Name a chapter: make chapter NAME=graphene_hrtem/02_bragg TIER=smoke; all of them: make book TIER=laptop"; exit 1; }

check: $(READY) ## style, and each page against its record and the claims
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mchelpers check

test: check ## unit tests, every chapter at the smoke tier, the strict build, its pages in a browser: what CI runs
	$(BIN)/python -m pytest -q -n 2 tests --ignore tests/browser
	MCHELPERS_TIER=smoke MCHELPERS_RUNS=$$(mktemp -d) $(BIN)/python -m pytest -v -n 2 --nbmake --nbmake-timeout=300 book
	$(BIN)/python -m mchelpers book
	MCHELPERS_SITE=_build/html $(BIN)/python -m pytest -q -n 2 tests/browser

mutants: $(READY) ## mistakes that would make the book lie: a unit test must notice each
	$(BIN)/python tests/mutate.py -n 2 "$(NAME)"

bench: $(READY) ## each fast routine beside a plain one, on this machine: a page; TIER=smoke is quick
	$(BIN)/python -m mchelpers execute beyond/03_bench $(if $(TIER),--tier $(TIER))

clean: ## remove what the targets above made, but not .venv
	rm -rf _build .runs .pytest_cache .ruff_cache .hypothesis

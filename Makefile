# clubledger: `make` sets everything up, loads a demo year and serves it on this machine.
# Needs only make and Python 3.11 or later. Every path is relative, so the directory may have any name.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet --root-user-action=ignore
HASHED := --require-hashes --only-binary :all: --requirement

# Scripts in a virtual environment know where it stands: in a directory that has moved it is made anew.
HERE := $(shell pwd | cksum | cut -d' ' -f1)
RUN := .venv/run-$(HERE)
DEV := .venv/dev-$(HERE)

ROOMS := domain ledger projections demo api
TYPED := $(wildcard $(ROOMS) bench tests)
OPTIONS := $(if $(DATA_DIR),--data-dir "$(DATA_DIR)")
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --generate-hashes \
	--no-header --no-strip-extras --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade) --group build

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: all setup dev demo serve test hostile check format generate screens bench lock clean help

all: demo serve ## What make alone does: make demo, then make serve on 127.0.0.1:8000

setup: $(RUN) ## Make .venv with what clubledger needs to run
dev: $(DEV) ## Make .venv with what its developers need, too

demo: $(RUN) ## Set up, load the demo year if there is no data yet, print its figures
	exec $(BIN)/clubledger demo $(OPTIONS)

serve: $(RUN) ## Serve what the data directory holds
	exec $(BIN)/clubledger serve $(OPTIONS) $(if $(PORT),--port $(PORT))

test: $(DEV) ## Run the tests (ARGS="-k tidy" and the like go to pytest; ARGS=--all adds the slow ones, and what lanes matter to with one bucket and with four; ARGS="--all --both" all of that)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses=4 --dist=loadfile --no-loadscope-reorder $(ARGS)

hostile: $(DEV) ## An hour of attacks, kills and full disks beside honest clients (MINUTES=60 SEED=n)
	$(BIN)/python -m tests.hostile --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED)) $(ARGS)

check: $(DEV) ## Lint, format, types, and the doors between the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict $(TYPED)
	$(BIN)/lint-imports --no-logo

format: $(DEV) ## Format the code and repair what can be repaired
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

generate: $(DEV) ## Make what the code says anew: reference pages, openapi.json, the table of problems
	$(BIN)/python -m docs.generate

screens: $(DEV) ## Make the pictures of the pages anew, of the demo year (ARGS="--look build/screens" makes all there is to look at)
	$(BIN)/clubledger demo --no-figures --data-dir "$(or $(DATA_DIR),build/demo)"
	$(BIN)/python -m docs.screens --data-dir "$(or $(DATA_DIR),build/demo)" $(ARGS)

bench: $(DEV) ## Measure (ARGS go to the bench)
	$(BIN)/python -m bench $(ARGS)

lock: $(DEV) ## Pin what pyproject.toml asks for, with hashes (UPGRADE=1 takes the newest)
	$(COMPILE) --output-file requirements/run.txt
	$(COMPILE) --extra otel --constraint requirements/run.txt --output-file requirements/otel.txt
	$(COMPILE) --group dev --constraint requirements/run.txt --output-file requirements/dev.txt

clean: ## Remove what make has made; data stays
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.* htmlcov
	find $(wildcard $(ROOMS) bench tests) -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## Print this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16
	@echo "  DATA_DIR=...  keeps the ledger there;  PORT=...  serves there;  PYTHON=...  is the Python to use"

$(RUN): requirements/run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "clubledger needs Python 3.11 or later: make PYTHON=python3.13, for instance." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "This Python cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up .venv ..."
	@test -e $@ || $(PYTHON) -m venv --clear .venv
	@$(PIP) $(HASHED) requirements/run.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements/dev.txt $(RUN)
	@echo "Adding what developers need ..."
	@$(PIP) --no-deps $(HASHED) requirements/dev.txt
	@touch $@

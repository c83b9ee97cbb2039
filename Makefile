# MLForge's commands, the same for people and for CI. `make help` lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help install install-dev run test coverage lint format lock upgrade audit sbom clean

VENV := .venv
BIN := $(VENV)/bin
# Other projects' clients, which tests run; their pins are not ours.
CLIENTS := $(VENV)-clients
# What looks for known vulnerabilities; its pins are not ours either.
AUDIT := $(VENV)-audit
# The first Python on PATH that is new enough; PYTHON=/path/to/python overrides it.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Every file comes with a hash, and the package itself is built from what they pin.
# A lock is complete, so what pip would resolve beside it can only be wrong.
FROM_LOCK := --disable-pip-version-check install --quiet --require-hashes --no-deps --requirement
LOCKED := $(BIN)/python -m pip $(FROM_LOCK)
PACKAGE := PYTHONWARNINGS=ignore $(PIP) install --quiet --no-deps --no-build-isolation --editable ./backend

# Each worker brings servers of its own, so there is a limit to how many help.
PARALLEL := --numprocesses=auto --maxprocesses=4

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## Make the environment from the lock file

install-dev: $(VENV)/.installed-dev ## The same, with the tools for tests and checks

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "MLForge needs Python 3.11 or newer on PATH; install it, or: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) can't make a virtual environment: install its venv module (Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }

$(VENV)/.installed: backend/requirements.lock backend/pyproject.toml | $(BIN)/python
	@echo "Installing what MLForge runs with"
	@$(LOCKED) backend/requirements.lock
	@$(PACKAGE)
	@touch $@

$(VENV)/.installed-dev: backend/requirements-dev.lock $(VENV)/.installed
	@echo "Installing the tools for tests and checks"
	@$(LOCKED) backend/requirements-dev.lock
	@touch $@

$(CLIENTS)/.installed: backend/tests/clients/requirements.lock | $(BIN)/python
	@echo "Installing the clients that tests call the server with"
	@$(BIN)/python -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip $(FROM_LOCK) $<
	@touch $@

$(AUDIT)/.installed: backend/requirements-audit.lock | $(BIN)/python
	@echo "Installing what looks for known vulnerabilities"
	@$(BIN)/python -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip $(FROM_LOCK) $<
	@touch $@

run: $(VENV)/.installed ## Serve on 127.0.0.1:8000 with an example model (HOST=, PORT=, DATA_DIR=)
	@exec $(BIN)/mlforge serve --example

test: $(VENV)/.installed-dev $(CLIENTS)/.installed ## Run the whole suite with coverage
	cd backend && ../$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term --cov-report=xml --cov-fail-under=85

coverage: $(VENV)/.installed-dev $(CLIENTS)/.installed ## The same, and a report to browse in backend/htmlcov
	cd backend && ../$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term-missing --cov-report=html

lint: $(VENV)/.installed-dev ## Check format, types, layers, house rules, locks, migrations
	cd backend && ../$(BIN)/ruff format --check .
	cd backend && ../$(BIN)/ruff check .
	$(BIN)/mypy
	cd backend && ../$(BIN)/lint-imports
	cd backend && ../$(BIN)/python -m scripts.lint_house
	cd backend && ../$(BIN)/python -m scripts.env_example --check
	cd backend && ../$(BIN)/python -m scripts.proto --check
	cd backend && ../$(BIN)/python -m scripts.lock --check
	cd backend && ../$(BIN)/python -m pytest --quiet tests/test_migrations.py

format: $(VENV)/.installed-dev ## Format the code and mend what can be mended
	cd backend && ../$(BIN)/ruff format .
	cd backend && ../$(BIN)/ruff check --fix .
	cd backend && ../$(BIN)/python -m scripts.env_example
	cd backend && ../$(BIN)/python -m scripts.proto

lock: $(VENV)/.installed-dev ## Write the lock files after a change of pyproject.toml
	cd backend && ../$(BIN)/python -m scripts.lock

upgrade: $(VENV)/.installed-dev ## Write the lock files with the newest versions
	cd backend && ../$(BIN)/python -m scripts.lock --upgrade

# --strict: a package that could not be looked up has not been audited.
audit: $(VENV)/.installed-dev $(AUDIT)/.installed ## Look for known vulnerabilities and missing patches (asks the package index)
	cd backend && ../$(BIN)/python -m scripts.newest
	$(AUDIT)/bin/pip-audit --strict --disable-pip --require-hashes --requirement backend/requirements.lock

sbom: $(AUDIT)/.installed ## Write backend/sbom.json, the bill of materials (CycloneDX)
	$(AUDIT)/bin/cyclonedx-py requirements --output-reproducible --output-file backend/sbom.json backend/requirements.lock

clean: ## Remove the environment and what tools left; never ./data
	rm -rf $(VENV) $(CLIENTS) $(AUDIT) backend/*.egg-info backend/build backend/htmlcov
	rm -rf backend/coverage.xml backend/sbom.json
	rm -rf backend/.coverage backend/.coverage.* .mypy_cache backend/.mypy_cache backend/.ruff_cache
	rm -rf backend/.pytest_cache backend/.import_linter_cache backend/.hypothesis
	find backend -name __pycache__ -type d -prune -exec rm -rf {} +

# `make help` prints what there is. Needs nothing but Python 3.11 or newer and a package index.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= $(shell for name in python3.11 python3 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= auto
# the locks are whole: resolving them again would only let an older pip trip over a release newer than they know
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes --no-deps

.PHONY: help
help:  ## print this list
	@grep -E '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/:.*  ## /\t/' | expand -t 10

# ---------------------------------------------------------------------------- set-up

.PHONY: setup
setup: $(VENV)/base.installed  ## make .venv with the locked dependencies (the others call it)

.PHONY: setup-dev
setup-dev: $(VENV)/dev.installed

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Counterseal needs Python 3.11 or newer, and found none. Install it, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/base.installed: requirements/base.txt | $(BIN)/python
	@echo "Installing requirements/base.txt"
	@$(PIP) -r requirements/base.txt
	@touch $@

# dev.txt holds everything that base.txt holds
$(VENV)/dev.installed: requirements/dev.txt requirements/base.txt | $(BIN)/python
	@echo "Installing requirements/dev.txt"
	@$(PIP) -r requirements/dev.txt
	@touch $@ $(VENV)/base.installed

# ---------------------------------------------------------------------------- use

.PHONY: demo
demo: setup  ## the main job, seeded and running, to try in a browser
	@DATA_DIR=$${DATA_DIR:-data/demo} $(BIN)/python manage.py demo $(ARGS)

.PHONY: run
run: setup  ## everything in one process on SQLite under ./data
	@$(BIN)/python manage.py up

# ---------------------------------------------------------------------------- work

.PHONY: test
test: setup-dev  ## all tests on SQLite, then what depends on the database on PostgreSQL
	@$(BIN)/pytest -n $(WORKERS) --dist loadgroup
	@echo "Again on PostgreSQL: the tests marked database"
	@$(BIN)/python -m tests.postgresql $(BIN)/pytest -n $(WORKERS) --dist loadgroup -m database \
		|| { code=$$?; test $$code = 3 && test "$${CI:-}" != true; }

CHECKS := format lint types imports templates migrations deploy docs tests

.PHONY: check
check: setup-dev  ## formatting, lint, types, imports, templates, migrations, docs; changes nothing
	@failed=""; \
	for check in $(CHECKS); do \
		echo "--- $$check"; \
		$(MAKE) --no-print-directory check-$$check || failed="$$failed $$check"; \
	done; \
	if [ -n "$$failed" ]; then echo "make check failed:$$failed" >&2; exit 1; fi; \
	echo "All checks passed."

# settings make a secret key under DATA_DIR; a check leaves no trace in ./data
SCRATCH := export DATA_DIR=$$(mktemp -d); trap 'rm -rf "$$DATA_DIR"' EXIT;
TEMPLATES = $$(find templates approvals -name '*.html')

.PHONY: $(CHECKS:%=check-%)
check-format:
	@$(BIN)/ruff format --check --quiet --diff .
check-lint:
	@$(BIN)/ruff check --quiet .
check-types:
	@$(SCRATCH) $(BIN)/mypy
check-imports:
	@$(BIN)/lint-imports --no-logo
check-templates:
	@$(BIN)/djade --check --target-version 5.2 $(TEMPLATES)
	@$(BIN)/djlint --lint --quiet --profile django --ignore H030,H031 $(TEMPLATES)
check-migrations:
	@$(SCRATCH) $(BIN)/python manage.py makemigrations --check --dry-run
check-deploy:
	@$(SCRATCH) PUBLIC_URL=https://mail.example.test ALLOWED_HOSTS=mail.example.test \
		SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(50))') \
		$(BIN)/python manage.py check --deploy --fail-level WARNING
check-docs:
	@$(SCRATCH) $(BIN)/python manage.py generate_docs --check
# locks, .env.example, docs: the tests that look at files only
check-tests:
	@$(BIN)/pytest -q -p no:cacheprovider tests/house/test_files.py

.PHONY: fix
fix: setup-dev  ## formatters and generated docs
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/djade --target-version 5.2 $(TEMPLATES) || true
	@$(SCRATCH) $(BIN)/python manage.py generate_docs

.PHONY: lock
lock: setup-dev  ## resolve requirements/*.in anew into hash-pinned locks
	@cd requirements && for name in base dev; do \
		../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
			--no-header --no-emit-index-url --no-emit-find-links --upgrade $$name.in -o $$name.txt; \
	done

.PHONY: coverage
coverage: setup-dev  ## the tests on SQLite with branch coverage, templates included
	@$(BIN)/pytest -n $(WORKERS) --dist loadgroup --cov --cov-report=term
	@$(BIN)/coverage report --include='$(CORE)' --fail-under=100

.PHONY: bench
bench: setup-dev  ## how long a run waits after its person has decided, on this machine
	@$(BIN)/python -m benchmarks.decision_to_resume $(ARGS)

# where every branch is a promise
CORE := approvals/policy.py,approvals/states.py,approvals/actions/*,approvals/outbox.py,approvals/effects/*,approvals/permissions.py,assistants/reconcile.py

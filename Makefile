# `make demo` and `make test` do everything on a fresh machine with Python 3.11+ and Node 20+.
PYTHON := .venv/bin/python

.PHONY: demo test run lint check format setup

demo: setup  ## play the main job end to end on a local stack of its own, and exit
	@$(PYTHON) -m local demo

test: setup  ## all tests, with the coverage of functions/ and shared/
	@$(PYTHON) -m pytest --cov --cov-report=term

run: setup  ## keep the local stack up until interrupted
	@$(PYTHON) -m local up

lint: setup  ## format, lint and types
	@$(PYTHON) -m ruff format --check --quiet
	@$(PYTHON) -m ruff check --quiet
	@$(PYTHON) -m mypy

check:  ## what CI runs
	@.ci/run

format: setup  ## mend what can be mended
	@$(PYTHON) -m ruff format
	@$(PYTHON) -m ruff check --fix

setup:  ## .venv and local/node_modules; nothing when nothing changed
	@local/setup.sh

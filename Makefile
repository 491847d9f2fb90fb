# make demo, make test, make run: each sets up what it needs first.
PYTHON_ENV := .venv/bin/python

.PHONY: setup demo test run check format clean

setup:
	@local/setup.sh

demo: setup  ## play the main job end to end on the local stack, then exit
	@$(PYTHON_ENV) -m local demo

test: setup  ## all tests, with the coverage of functions/ and shared/
	@$(PYTHON_ENV) -m pytest --cov --cov-report=term

run: setup  ## keep the local stack up until interrupted
	@$(PYTHON_ENV) -m local up

check: setup  ## what CI runs: format, lint, types, tests
	@$(PYTHON_ENV) -m ruff format --check .
	@$(PYTHON_ENV) -m ruff check .
	@$(PYTHON_ENV) -m mypy
	@$(MAKE) --no-print-directory test

format: setup
	@$(PYTHON_ENV) -m ruff format .
	@$(PYTHON_ENV) -m ruff check --fix .

clean:
	rm -rf .venv local/node_modules .local

# `make demo` and `make test` do everything on a fresh machine with Python 3.11+ and Node 20.19+.
IN_VENV := .venv/bin/python

# Two workers. Each takes whole modules, in the order of tests/conftest.py, and has a stack of its own.
IN_PARALLEL := -n 2 --dist=loadfile --no-loadscope-reorder

.PHONY: help demo test test-quick chaos fuzz simulate simulate-mutants mutants run bench bench-quick lint scan bicep openapi check format screenshots setup

help:  ## what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-18s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup  ## play the main job end to end on a local stack of its own, and exit
	@$(IN_VENV) -m local demo

test: setup  ## the tests; ALL=1 adds those that take minutes, and the coverage of functions/ and shared/
	@$(IN_VENV) -m pytest $(IN_PARALLEL) $(if $(ALL),--cov --cov-report=term,-m "not campaign")

test-quick: setup  ## what needs no stack, but for a few tests that take long
	@$(IN_VENV) -m pytest $(IN_PARALLEL) -m "not stack and not long and not campaign"

chaos: setup  ## the stack under load while its parts are killed: ROUNDS (60), CHAOS_SEED
	@CHAOS_ROUNDS=$(or $(ROUNDS),60) $(IN_VENV) -m pytest tests/e2e/test_p9_chaos.py

fuzz: setup  ## every operation in every role with made-up requests: EXAMPLES (75) for each
	@FUZZ_EXAMPLES=$(or $(EXAMPLES),75) $(IN_VENV) -m pytest tests/e2e/test_openapi_fuzz.py

simulate: setup  ## many random histories on the fakes, with virtual time and every fault: HISTORIES, SEED, JOBS
	@$(IN_VENV) -m tests.simulation run --histories $(or $(HISTORIES),10000) --seed $(or $(SEED),1) --jobs $(or $(JOBS),2)

simulate-mutants: setup  ## plants known bugs one by one; the simulation must find each
	@$(IN_VENV) -m tests.simulation mutants --jobs $(or $(JOBS),2)

mutants:  ## small changes to the rules, one by one; the quick tests must notice each: ONLY=model,sweep, JOBS, FRESH=1
	@local/setup.sh mutants
	@.mutants/venv/bin/python -m tests.mutants --jobs $(or $(JOBS),2) $(if $(ONLY),--folders $(ONLY)) $(if $(FRESH),--fresh)

run: setup  ## keep the local stack up until interrupted; PORT fixes the host's port
	@$(IN_VENV) -m local up $(if $(PORT),--port $(PORT))

bench: setup  ## what it costs, next to bare storage calls; about 20 minutes (bench/README.md): RESUME=1 goes on
	@$(IN_VENV) -m bench $(if $(RESUME),--resume)

bench-quick: setup  ## proves that the bench runs; its figures mean nothing
	@$(IN_VENV) -m pytest -q bench

lint: setup  ## format, lint, types, and which room may know which
	@$(IN_VENV) -m ruff format --check --quiet
	@$(IN_VENV) -m ruff check --quiet
	@$(IN_VENV) -m mypy
	@.venv/bin/lint-imports --no-cache --no-logo
	@npm run --silent lint --prefix portal

scan:  ## infra/ for what is not secure; with packages that do not go with ours
	@local/setup.sh scan
	@.checkov/bin/checkov --config-file infra/checkov.yaml

bicep:  ## build and lint infra/ with Bicep's own compiler, where bicep or az bicep is on the PATH; CI does not need it
	@if command -v bicep >/dev/null; then \
		bicep build infra/main.bicep --stdout >/dev/null && bicep lint infra/main.bicep; \
	elif command -v az >/dev/null && az bicep version >/dev/null 2>&1; then \
		az bicep build --file infra/main.bicep --stdout >/dev/null && az bicep lint --file infra/main.bicep; \
	else \
		echo "Nothing was checked: neither bicep nor az bicep is on the PATH."; \
	fi

openapi: setup  ## write docs/openapi.json anew, as the service answers it, and the portal's types of it
	@$(IN_VENV) -m local.openapi
	@npm run --silent generate --prefix portal

check:  ## what CI runs
	@.ci/run

format: setup  ## mend what can be mended
	@$(IN_VENV) -m ruff format
	@$(IN_VENV) -m ruff check --fix

screenshots: setup  ## docs/images anew: the portal's pages with sample data, on a stack of their own
	@$(IN_VENV) -m tests.portal.screenshots

setup:  ## .venv, local/node_modules and portal/dist; nothing when nothing changed
	@local/setup.sh

# Works on a machine that has Python >= 3.11, make and a package index, without root. `make help` lists the targets.
#
# Another interpreter beside the first:  make test PYTHON=python3.13 VENV=.venv-3.13

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# pip reads its index from its own configuration; -qq keeps warnings and progress to itself, errors are shown.
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
# A lock file is complete. Left to resolve it, pip takes a newer release of a package that another one wants
# with an extra, and then refuses it, because it has no hash.
LOCKED := $(PIP) install --require-hashes --no-deps
LOCK := $(BIN)/uv -q pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock' $(LOCKFLAGS)

# What the engine is compared with, each in an environment of its own: the groups bench-* of pyproject.toml.
BENCHED := duckdb spark dask ray

# The quick folders first: what is wrong in a unit is told before a whole job trips over it.
FIRST := $(wildcard tests/unit tests/property)
NONE := $(if $(ARGS),|| [ $$? = 5 ]) # what ARGS choose may all lie in one of the two
REST := $(filter-out $(FIRST) tests/__pycache__, $(patsubst %/,%,$(wildcard tests/*/)))

.DELETE_ON_ERROR:
.PHONY: help demo test test-system simulation soak mutants model lint types layers matrix unit tests sweep format errors bench bench-full bench-hosts lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

demo: $(VENV)/.runtime ## run the demonstration job
	@$(BIN)/mapreduce demo

# The cheap checks end first, also under `make -j`; the tests' closing line is among the last.
test: lint types layers ## everything that must pass before a change lands
	@echo matrix
	@$(BIN)/python tests/matrix.py > $(VENV)/matrix.txt || { cat $(VENV)/matrix.txt; exit 1; }
	@$(MAKE) --no-print-directory tests

lint: $(VENV)/.dev ## ruff: rules and format
	@echo lint
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check --output-format concise . || { echo '`make format` mends it'; exit 1; }

types: $(VENV)/.dev ## mypy, strict
	@echo types
	@$(BIN)/mypy --no-error-summary

layers: $(VENV)/.dev ## import-linter: who may import whom
	@echo layers
	@out=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$out"; exit 1; }

matrix: $(VENV)/.dev ## which test covers which row of the fault matrix; fails if a row has none
	@$(BIN)/python tests/matrix.py

tests: $(VENV)/.dev ## pytest with coverage; ARGS='-k name' chooses
	@echo tests
	@$(BIN)/python -m pytest -q -m 'not sweep and not system' -n auto --cov --cov-report= $(FIRST) $(ARGS) $(NONE)
	@$(BIN)/python -m pytest -q -m 'not sweep and not system' -n auto --cov --cov-append --cov-report= $(REST) $(ARGS) $(NONE)
	@echo "coverage: $$($(BIN)/coverage report --format=total) %"

sweep: $(VENV)/.dev ## faults at every moment and in every operation: minutes; ARGS='-k name' chooses
	@echo sweep
	@$(BIN)/python -m pytest -q -m sweep -n auto tests $(ARGS)

test-system: $(VENV)/.system ## stores on real servers, which the tests start; ARGS='-k name' chooses
	@echo test-system
	@$(BIN)/python -m pytest -q -m system tests/system $(ARGS)

simulation: $(VENV)/.dev ## hosts and coordinators in a simulated world: minutes; ARGS='--first SEED --seeds 1' replays one
	@echo simulation
	@cd tests && $(abspath $(BIN))/python -m simulation $(ARGS)

soak: $(VENV)/.dev ## the same for an hour
	@cd tests && $(abspath $(BIN))/python -m simulation --hours 1 $(ARGS)

mutants: $(VENV)/.dev ## deliberate mistakes in the protocol: the simulation must find each
	@echo mutants
	@cd tests && $(abspath $(BIN))/python -m simulation.mutants $(ARGS)

model: ## the model of the protocol, by spin
	@echo model
	@folder=$$(mktemp -d) && tests/model/check.sh $$folder; code=$$?; rm -rf $$folder; exit $$code

unit: $(VENV)/.dev ## the unit tests alone; ARGS='-k name' chooses
	@$(BIN)/python -m pytest -q tests/unit $(ARGS)

format: $(VENV)/.dev ## mend what ruff can mend
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

errors: $(VENV)/.dev ## write the table of docs/errors.md anew, from mapreduce/errors.py
	@$(BIN)/python docs/errors_page.py

bench: $(VENV)/.runtime .venv-bench-duckdb/.made ## the benchmark: 2 GB, four jobs, half an hour; ARGS='--size 200MB'
	@$(BIN)/python -m benchmarks.bench $(ARGS)

bench-full: $(VENV)/.runtime $(BENCHED:%=.venv-bench-%/.made) ## all jobs and programs: hours; goes on where it was stopped
	@$(BIN)/python -m benchmarks.bench --full $(ARGS)

bench-hosts: $(VENV)/.system ## hosts on a folder and on SeaweedFS: tasks a second, requests, killed workers, going on; six minutes
	@$(BIN)/python -m benchmarks.hosts $(ARGS)

lock: $(VENV)/.made ## resolve the lock files anew; LOCKFLAGS=--upgrade takes the newest versions
	@$(PIP) install uv
	@$(LOCK) pyproject.toml -o requirements/runtime.txt
	@$(LOCK) pyproject.toml --group dev --all-extras -c requirements/runtime.txt -o requirements/dev.txt
	@$(LOCK) --group system -c requirements/dev.txt -o requirements/system.txt
	@$(LOCK) --group build -c requirements/dev.txt -o requirements/build.txt
	@for name in $(BENCHED); do \
		$(LOCK) --group bench-$$name -c requirements/dev.txt -o requirements/bench-$$name.txt || exit 1; done

clean: ## remove the environment, caches and builds
	@rm -rf $(VENV) .venv-bench-* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .coverage .coverage.* build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment grows in steps, each with a stamp that is written when the step is whole: an interrupted
# install is done again. `demo` needs the runtime alone; `test` puts the tools on top of it.

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mapreduce needs Python >= 3.11; say which: make PYTHON=python3.11")'
	@echo 'environment: $(VENV)'
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.runtime: requirements/runtime.txt requirements/build.txt pyproject.toml | $(VENV)/.made
	@echo 'install: runtime'
	@$(LOCKED) -r requirements/runtime.txt -r requirements/build.txt
	@$(PIP) install --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@echo 'install: tools'
	@$(LOCKED) -r requirements/dev.txt
	@touch $@

$(VENV)/.system: requirements/system.txt $(VENV)/.dev
	@echo 'install: servers'
	@$(LOCKED) -r requirements/system.txt
	@touch $@

.venv-bench-%/.made: requirements/bench-%.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mapreduce needs Python >= 3.11; say which: make PYTHON=python3.11")'
	@echo 'environment: $(@D)'
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip -qq --disable-pip-version-check --no-input install --require-hashes --no-deps -r $<
	@touch $@

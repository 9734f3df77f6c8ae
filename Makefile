# Python 3.11 or newer and make are all that this needs; everything else is installed into .venv.

VENV := .venv
BIN := $(VENV)/bin
DEMO_READY := $(VENV)/.demo-ready
TEST_READY := $(VENV)/.test-ready

PROJECTS := . backends/sqlite backends/mongodb
PYPROJECTS := $(PROJECTS:%=%/pyproject.toml)

# A Python is tried before it is used: a pyenv shim may be on the PATH and not run.
SUPPORTED := 3.11 3.12 3.13
PYENV := $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
VERSION := import sys; print("%d.%d" % sys.version_info[:2])

PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3 $(PYENV)/3.1*/bin/python; do \
	"$$python" -c '$(NEW_ENOUGH)' 2>/dev/null && echo "$$python" && break; done)

# $(call find,3.12): a Python of that version, or nothing.
find = $(shell for python in python$(1) $(PYENV)/$(1).*/bin/python; do \
	[ "$$("$$python" -c '$(VERSION)' 2>/dev/null)" = $(1) ] && echo "$$python" && break; done)

.PHONY: help demo quickstart test lint pytest format build test-wheels test-pythons test-lowest test-faults test-races browser docs docs-run clean environment

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1#/p' Makefile | awk -F'#' '{ printf "make %-15s%s\n", $$1, $$2 }'

demo: $(DEMO_READY) ## run examples/devices: log in, see your devices, log them out
	@$(BIN)/python examples/devices/app.py

quickstart: $(DEMO_READY) ## run examples/quickstart.py, the smallest program
	@$(BIN)/python examples/quickstart.py

test: lint pytest ## all that a change must pass: style, types, tests

lint: $(TEST_READY) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/mypy --strict examples

pytest: $(TEST_READY) ## the tests alone; any warning is an error
	$(BIN)/python -m pytest $(PYTEST_OPTIONS)

format: $(TEST_READY) ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The time that goes into archives: that of the last commit, so that the same commit gives the same bytes.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 1577836800)
DIST := dist

build: $(TEST_READY) ## sdists and wheels of the three distributions, in dist
	rm -rf $(DIST)
	for project in $(PROJECTS); do $(BIN)/python -m build --outdir $(DIST) $$project || exit; done
	$(BIN)/python -m twine check --strict $(DIST)/*

test-wheels: build ## install the wheels where nothing of this checkout is seen, and use them; build them twice
	$(MAKE) --no-print-directory build DIST=dist/again
	for file in dist/*.whl dist/*.tar.gz; do cmp $$file dist/again/$$(basename $$file) || exit; done
	$(BIN)/python tests/project/smoke_wheels.py dist

# What waits for elections of real servers, for a browser or for races of processes takes minutes and does not depend on
# the Python: `make test` alone runs it.
ONCE := --ignore=tests/mongodb/test_faults.py --ignore=tests/mongodb/test_disturbed.py \
	--ignore=tests/browser --ignore=tests/proxies --ignore=tests/races

test-pythons: $(SUPPORTED:%=test-python-%) ## the tests, but the failovers, on every other supported Python that is found

test-python-%: $(TEST_READY)
	@if [ "$$($(BIN)/python -c '$(VERSION)')" = $* ]; then \
		echo "Python $*: tested by make test"; \
	elif [ -n "$(call find,$*)" ]; then \
		echo "Python $*: $(call find,$*)"; \
		$(MAKE) --no-print-directory pytest VENV=.venv-$* PYTHON="$(call find,$*)" PYTEST_OPTIONS="$(ONCE)"; \
	else \
		echo "Python $*: not found, not tested"; \
	fi

# uv alone resolves to the oldest direct dependencies. The tests' own tools are the newest that go with those.
LOWEST := .venv-lowest
UV = VIRTUAL_ENV=$(LOWEST) $(LOWEST)/bin/uv pip

# What meets a dependency: aiohttp, PyJWT, drivers, the command line. The rest calls only what these folders test.
MEETING := tests/web tests/tokens tests/wire tests/settings tests/storage tests/sqlite tests/mongodb tests/cli tests/testing

test-lowest: ## the tests that meet a dependency, with the oldest ones that the distributions admit
	rm -rf $(LOWEST)
	@$(MAKE) --no-print-directory environment VENV=$(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(UV) install --quiet --resolution lowest-direct -e '.[cli,devices,jinja2]' -e backends/sqlite -e backends/mongodb
	$(UV) freeze --exclude-editable > $(LOWEST)/lowest.txt
	$(UV) install --quiet --group test --constraint $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pytest $(ONCE) $(MEETING)

test-faults: $(TEST_READY) ## failovers of a real replica set under load, at length: about a quarter of an hour
	cd tests && ../$(BIN)/python -W error -m faults

test-races: $(TEST_READY) ## races of real requests over two processes, at length: about a quarter of an hour
	cd tests && ../$(BIN)/python -W error -m races

# What no pip line installs. The tests that need one of these are skipped without it, and fail where CI=true is set.
PROGRAMS := chromium nginx apache2

browser: ## install Chromium, nginx and Apache for the tests, by apt-get as root; elsewhere say what is missing
	@PATH="$$PATH:/usr/sbin:/sbin"; missing=; \
	for program in $(PROGRAMS); do command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	if [ -z "$$missing" ]; then \
		echo "there already: $(PROGRAMS)"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update --quiet && \
		DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install --quiet --yes --no-install-recommends$$missing || \
		echo "not installed:$$missing; see what apt-get says above" >&2; \
	else \
		echo "not installed:$$missing; that needs apt-get and root" >&2; \
	fi

# The site is built in an environment of its own, .venv-docs; a warning fails it.

docs: ## build the documentation site into build/docs
	@$(MAKE) --no-print-directory docs-run VENV=.venv-docs

docs-run: $(VENV)/.docs-ready
	@$(BIN)/python docs/diagrams.py
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "built: build/docs/index.html"

$(VENV)/.docs-ready: $(PYPROJECTS) | environment
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group docs -e . -e backends/sqlite -e backends/mongodb
	@touch $@

clean: ## remove what was made, the environments too
	rm -rf .venv .venv-docs .venv-lowest .venv-3.* build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

# The environment is made once, and its packages are installed again when a pyproject.toml has changed.

environment:
	@if [ ! -e $(VENV) ]; then \
		"$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python" >&2; exit 1; }; \
		"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
	fi
	@$(BIN)/python -c 'import pip; $(NEW_ENOUGH)' 2>/dev/null || { \
		echo "$(VENV) holds no Python 3.11 or newer with pip: remove it and call make again (rm -r $(VENV))" >&2; exit 1; }

$(DEMO_READY): $(PYPROJECTS) | environment
	$(BIN)/python -m pip install --quiet -e '.[devices,jinja2]' -e backends/sqlite -e backends/mongodb
	@touch $@

$(TEST_READY): $(PYPROJECTS) | environment
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group test -e '.[cli]' -e backends/sqlite -e backends/mongodb
	@touch $@

# Times are taken in an environment of their own, .venv-bench, where the peers are installed beside the library.

BENCH_READY := $(VENV)/.bench-ready
.PHONY: bench bench-quick bench-run

bench: ## measure all that is promised, beside the peers, in about 8 minutes
	@$(MAKE) --no-print-directory bench-run VENV=.venv-bench

bench-quick: ## the same in two and a half minutes; fails where a target is missed by more than half
	@$(MAKE) --no-print-directory bench-run VENV=.venv-bench BENCH=--quick

bench-run: $(BENCH_READY)
	@$(BIN)/python -m benchmarks $(BENCH)

$(BENCH_READY): $(PYPROJECTS) | environment
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group bench -e . -e backends/sqlite -e backends/mongodb
	@touch $@

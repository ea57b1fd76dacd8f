# Needs python3 (3.11 or newer), make, and a network to PyPI on the first run.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check
.DEFAULT_GOAL := help
.PHONY: help test check chaos demo docs bench clean

help:
	@echo "make test   lint, types, import rules, then all tests with coverage"
	@echo "make check  the same without the tests"
	@echo "make chaos  kill a pipeline 2,000 times and see what is left of its promises"
	@echo "make demo   take stock of this Python environment with a small pipeline"
	@echo "make docs   build the documentation into site/"
	@echo "make bench  compare with other libraries"
	@echo "make clean  remove the environment and everything built"

# One environment, filled as far as a target needs it. A stamp is older than pyproject.toml when
# the dependencies may have changed.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; say which: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.stamp-demo: pyproject.toml | $(BIN)/python
	@echo "installing lythonic-state into $(VENV)"
	@$(PIP) install -e '.[engine]'
	@touch $@

$(VENV)/.stamp-dev: pyproject.toml | $(BIN)/python
	@echo "installing lythonic-state and its development tools into $(VENV)"
	@$(PIP) install -e '.[dev,postgres,engine]'
	@touch $@ $(VENV)/.stamp-demo

$(VENV)/.stamp-docs: pyproject.toml | $(BIN)/python
	@echo "installing lythonic-state and its documentation tools into $(VENV)"
	@$(PIP) install -e '.[docs]'
	@touch $@

# Two checks at a time, the longest first; each one's output stays in one piece where make can.
CHECKS := basedpyright mypy lint format imports
.PHONY: $(CHECKS)
check: $(VENV)/.stamp-dev
	@$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,--jobs=2) \
		$(if $(filter output-sync,$(.FEATURES)),--output-sync) $(CHECKS)

basedpyright mypy: $(VENV)/.stamp-dev
	@$(BIN)/$@

lint: $(VENV)/.stamp-dev
	@$(BIN)/ruff check --quiet .

format: $(VENV)/.stamp-dev
	@$(BIN)/ruff format --quiet --check .

imports: $(VENV)/.stamp-dev
	@PYTHONPATH=. $(BIN)/lint-imports --no-logo

# pytest stands last, so that its summary is the last line printed. A file of tests stays on one of
# two workers, each of which has a PostgreSQL server of its own. The files begin in their own order,
# by which the longest are not the last ones; pytest-xdist would begin with those of most tests.
test: check
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder \
		--cov --cov-report=term

# LYTHONIC_KILL_SEED=... repeats the choices of an earlier time.
chaos: $(VENV)/.stamp-dev
	@$(BIN)/python -m tests.compose.kills.chaos

demo: $(VENV)/.stamp-demo
	@$(BIN)/python -m examples.environment_audit

docs: $(VENV)/.stamp-docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs --quiet build --strict --clean --site-dir site
	@echo "site/index.html"

# Benchmarks compare with libraries that are no dependency of ours: they make their own environment.
bench:
	@PYTHON="$(PYTHON)" benchmarks/run

clean:
	@rm -rf $(VENV) site dist build .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache benchmarks/.venv benchmarks/out

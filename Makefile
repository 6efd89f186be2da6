# Everything runs from .venv, which `make .venv/ready` builds from requirements.lock with hashes checked.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check format lint types contracts faults fuzz bench lock clean

demo: $(VENV)/ready          ## The whole way, real, in one command
	@$(BIN)/exchange --home .exchange/demo demo

test: $(VENV)/ready          ## All tests, on the real Kafka and PostgreSQL
	@$(BIN)/pytest -q

check: format lint types contracts test

format: $(VENV)/ready
	@$(BIN)/ruff format --check .

lint: $(VENV)/ready
	@$(BIN)/ruff check .
	@$(BIN)/bandit -q -c pyproject.toml -r exchange connectors

types: $(VENV)/ready
	@$(BIN)/mypy

contracts: $(VENV)/ready
	@$(BIN)/lint-imports --no-cache

faults: $(VENV)/ready        ## Kill, stop and starve real processes, then balance the books
	@$(BIN)/pytest -q tests/fault

FUZZ_SECONDS ?= 600
fuzz: $(VENV)/ready          ## Ten minutes of coverage-guided fuzzing of evidence; what broke it lies in .fuzz/
	@$(BIN)/python -m tests.fuzz.evidence .fuzz -max_total_time=$(FUZZ_SECONDS)

bench: $(VENV)/ready         ## Ratios within one run → bench/results.json
	@$(BIN)/python -m bench

lock: $(VENV)/ready          ## Renew requirements.lock from pyproject.toml
	@$(BIN)/python -m pip install -q uv
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate \
	  --all-extras --group dev --upgrade pyproject.toml -o requirements.lock

$(VENV)/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 …") if sys.version_info < (3, 11) else None'
	@echo "Setting up $(VENV) (once) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

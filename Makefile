# Everything runs in .venv at the root. Where uv is missing, pip puts it in .tools; nothing is installed system-wide.
SHELL := /bin/sh
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN := .venv/bin
UV_ENV := UV_SYSTEM_CERTS=1 UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_PREFERENCE=only-system

# Every process that is started here would compile all of Python's sources again if it were not allowed to keep them.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check serve bench peers detect flips chaos lint types clean

demo: .venv/.ready
	$(RUN)/xinqiao demo

test: .venv/.ready
	$(RUN)/python -m pytest -n 2 --cov --cov-report=term:skip-covered --cov-fail-under=95
	$(RUN)/python tests/coverage_floor.py

check: .venv/.ready lint types
	$(RUN)/python -m pytest -p no:cacheprovider tests/test_layers.py tests/test_docs.py

lint: .venv/.ready
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

types: .venv/.ready
	$(RUN)/mypy

serve: .venv/.ready
	$(RUN)/xinqiao serve

bench: .venv/.ready
	$(RUN)/python -m benchmarks

peers: .venv/.ready
	for p in dlt airbyte-cdk singer-sdk; do test -x .tools/peers/$$p/bin/python || \
	  { $(UV_ENV) $(UV) venv --quiet --python $(PYTHON) .tools/peers/$$p && $(UV_ENV) $(UV) pip install --quiet --python .tools/peers/$$p/bin/python $$p; } || exit 1; done
	$(RUN)/python -m benchmarks.peers

detect: .venv/.ready
	$(RUN)/python -m benchmarks.detection

flips: .venv/.ready
	$(RUN)/python -m tests.log_export 1000

chaos: .venv/.ready
	$(RUN)/python -m tests.faults.kills 200
	$(RUN)/python -m tests.faults.syscalls it is
	$(RUN)/python -m tests.faults.syscalls folding
	$(RUN)/python -m tests.faults.storage
	$(RUN)/python -m tests.faults.revocations 10000
	$(RUN)/python -m tests.faults.restarts 5000
	$(RUN)/python -m tests.faults.rotations 10
	$(RUN)/python -m tests.faults.outage

.venv/.ready: pyproject.toml uv.lock $(if $(findstring .tools,$(UV)),.tools/bin/uv)
	$(UV_ENV) $(UV) sync --locked --python $(PYTHON) --quiet
	@touch $@

.tools/bin/uv:
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .tools uv

clean:
	rm -rf .venv .tools .xinqiao .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*

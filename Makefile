# Everything runs in .venv, which the first target that needs it makes. `make demo PYTHON=python3.12` picks the Python.
PYTHON ?= python3
BIN := .venv/bin
# Every pip call goes through the exact versions of constraints.txt.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
INSTALLED := .venv/.installed

.PHONY: demo test lint bench clean venv

demo: venv
	$(BIN)/python tools/demo.py

test: venv
	$(BIN)/python -m pytest

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: venv
	$(BIN)/python tools/bench_import.py
	$(BIN)/python tools/bench_speed.py
	$(BIN)/python tools/bench_memory.py

venv: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "codec needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(PIP) hatchling editables
	$(PIP) --no-build-isolation --editable '.[train,eval,recipes,dev]'
	@$(PIP) pesq >.venv/pesq.log 2>&1 || \
		echo "warning: pesq did not build (is there a C compiler? see .venv/pesq.log): PESQ columns will show '-'" >&2
	touch $@

clean:
	rm -rf .venv build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# make demo, make test: from a clean clone, with Python 3.10 to 3.13 and make alone.
# PYTHON=... picks the interpreter; otherwise the newest that truly runs and can make a venv.

.DEFAULT_GOAL := help
.PHONY: help demo test test-gpu fpga format clean

USABLE := import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3.10 python3; do \
	"$$python" -c '$(USABLE)' >/dev/null 2>&1 && { echo "$$python"; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

help:
	@echo 'make demo     a descent over the rim of Atlas, flown and judged (demo/)'
	@echo 'make test     style, types, layers and tests'
	@echo 'make test-gpu the CUDA backend against the CPU, and timed, on a GPU'
	@echo 'make fpga     the FPGA core synthesised, placed and routed (an hour)'
	@echo 'make format   put the code in order'
	@echo 'make clean    remove the environment and the caches'

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo 'No usable Python: install Python 3.10 to 3.13 with its venv module (Debian: python3-venv), or give PYTHON=/path/to/python' >&2; exit 2; }
	@"$(PYTHON)" -c '$(USABLE)' || { echo '$(PYTHON) is not Python 3.10 to 3.13 with venv and ensurepip; give another PYTHON=/path/to/python' >&2; exit 2; }
	"$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	@touch $@

demo: $(STAMP)
	$(BIN)/trn demo --out demo

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo $(BIN)/mypy; $(BIN)/mypy; \
	else \
		echo 'mypy skipped: the last NumPy for Python 3.10 has older types than the code is checked with'; \
	fi
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q

test-gpu: $(STAMP)
	$(BIN)/trn doctor
	$(BIN)/python -m pytest -q -m gpu
	$(BIN)/trn bench

fpga: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fpga-tools]'
	$(BIN)/python -m kernels.fpga.export
	$(BIN)/python -m kernels.fpga.place

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist

# make studio · make test · make lint · make bench; each makes .venv when it is missing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
export PORT ?= 7860

# A machine with an NVIDIA driver takes the CUDA builds that pyproject.toml's ranges lead to; others the pinned CPU ones.
CONSTRAINTS := $(if $(shell command -v nvidia-smi 2>/dev/null),,--constraint constraints-cpu.txt)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --progress-bar off $(CONSTRAINTS)

.PHONY: studio test test-slow test-browser test-all lint format bench clean
.DEFAULT_GOAL := studio

studio: $(VENV)/.studio
	@$(BIN)/python -m worker.supervise

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow and not browser"

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m "slow and not browser"

test-browser: $(VENV)/.dev
	$(BIN)/python -m pytest -m browser

test-all: $(VENV)/.dev
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# make bench BENCH="--clips 8 --frames 9" asks for less than an hour's work of a small machine; BENCH_TRAIN is training's.
bench: $(VENV)/.studio
	$(BIN)/python -m fastvideo_engine bench preprocess --out bench.json $(BENCH)
	$(BIN)/python -m fastvideo_engine bench train --out bench-train.json $(BENCH_TRAIN)

clean:
	rm -rf $(VENV) *.egg-info .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.studio: pyproject.toml constraints-cpu.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "The studio needs Python 3.11 or newer; name one: make studio PYTHON=python3.12"; exit 1; }
	@echo "Installing into $(VENV); the first time this takes some minutes."
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "Python could not make $(VENV); on Debian and Ubuntu install python3-venv, then try again."; exit 1; }
	@$(PIP) --upgrade "pip>=25.1"
	@# torch first and alone: asked for together with others, pip may first fetch gigabytes of a newer build.
	@$(PIP) "torch>=2.11"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.studio
	@$(PIP) --group dev
	@touch $@

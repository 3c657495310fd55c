# Everything a fresh machine needs lands in .venv; only test-engines writes outside this folder.
# On a machine without a GPU, PIP_EXTRA_INDEX_URL may name PyTorch's index of CPU builds.

PYTHON ?= python3
TORCH ?= torch==2.13.0
TEST_JOBS ?= 2
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Tests start thousands of processes; each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: recipe demo test test-engines test-newest test-gpu bench lint man setup clean

recipe: setup  ## every stage of the report on the tiny model, and one table and one page of them
	examples/qwen3-vl.sh qwen3-vl

demo: setup  ## its first stage alone: from raw data to a scored model
	examples/recipe.sh demo

test: setup lint  ## every test, files side by side
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile

test-engines: setup  ## installs vLLM and SGLang in environments of their own, and tests them
	$(BIN)/qvl doctor --install vllm --cpu
	$(BIN)/qvl doctor --install sglang --cpu
	$(BIN)/python -m pytest -m engines tests/engines -n $(TEST_JOBS) --dist loadfile

# Its wheel is for Python 3.12, but apart from one helper, not used here, it runs on 3.11 as well.
NEWEST := build/megatron-core-0.19.2
test-newest: setup  ## the layouts on the newest megatron-core
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(NEWEST) --only-binary=:all: \
		--python-version 3.12 --platform manylinux_2_28_x86_64 megatron-core==0.19.2
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(NEWEST) triton
	PYTHONPATH='$(CURDIR)/$(NEWEST)' $(BIN)/python -m pytest tests/megatron

test-gpu: setup  ## on a machine with a GPU; PIP_EXTRA_INDEX_URL and TORCH may name a build for it
	$(BIN)/python -m pytest -m gpu tests/gpu

bench: setup  ## the figures of the README
	$(BIN)/python -m pytest tests/bench --override-ini=python_files='bench_*.py' -s

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

man: setup  ## write the manual pages after a change of a help text
	$(BIN)/qvl man -o man

setup: .venv/ready

# torch first and alone, so that the build it chooses is the one the others are resolved against.
.venv/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet --editable '.[all,dev]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info demo qwen3-vl

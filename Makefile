# Any Python from 3.11 to 3.13 will do: make PYTHON=python3.12 demo
PYTHON ?= python3

DEMO_CONFIG := configs/00_breakout_demo.yaml
DEMO_DATA := data/breakout_demo
PLAY_CONFIG := configs/00_breakout_play.yaml
DEMO_RECORDING := --game breakout --train_videos 300 --val_videos 40 --test_videos 40 --video_length 60 \
	--crop 0 16 160 208 --target_size 80 96

# The copy of the lock that ends an installation. Without it there is none, or one that was interrupted.
INSTALLED := .venv/requirements.lock

# TORCH=cpu leaves CUDA out on Linux, two thirds of the installation: PyTorch is its build for CPUs, of the same version,
# and what the lock has for CUDA alone is not installed.
CPU_INDEX := https://download.pytorch.org/whl/cpu
CUDA_ALONE := ^(cuda|nvidia|triton)

# An answer of the database that pip-audit asks.
ADVISORIES := https://pypi.org/pypi/pip/24.0/json

.PHONY: help demo play test lint audit docs lock .venv

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s%s\n", $$1, $$2}' Makefile

demo: .venv  ## record a small Breakout data set, train on it: 20 minutes on two cores. Goes on where it was interrupted
	@.venv/bin/python -m dataset.acquisition.record_atari $(DEMO_RECORDING) --output_directory $(DEMO_DATA)
	@.venv/bin/python train.py --config $(DEMO_CONFIG)

play: .venv  ## play the trained Breakout that comes with the repository. Other options: make play PLAY_ARGS=--windowed
	@.venv/bin/python play.py --config $(PLAY_CONFIG) $(PLAY_ARGS)

test: .venv  ## run the whole test suite, or a part: make test PYTEST_ARGS=tests/model
	@.venv/bin/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# AUDIT=audit has `make lint` look for known vulnerabilities too.
lint: .venv $(AUDIT)  ## check style, formatting and types
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy

audit: .venv  ## look up requirements.lock among known vulnerabilities, with pip-audit in an environment of its own
	@if ! .venv/bin/python -c 'import json, urllib.request as u; json.load(u.urlopen("$(ADVISORIES)", timeout=10))["vulnerabilities"]' 2>/dev/null; \
	then echo "audit skipped: the advisory database at $(ADVISORIES) cannot be reached"; \
	else .venv/bin/python -m venv .venv/audit && .venv/audit/bin/python -m pip install --quiet pip-audit && \
		.venv/audit/bin/pip-audit --no-deps --disable-pip --requirement requirements.lock; fi

docs: .venv  ## build the documentation as a site in site/. As you write: .venv/bin/python -m mkdocs serve
	@NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict

lock:  ## fit requirements.lock to pyproject.toml with uv. Newest versions of all: make lock UPGRADE=--upgrade
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 2; }
	@uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest $(UPGRADE) \
		--custom-compile-command "make lock" --extra dev --output-file requirements.lock pyproject.toml

.venv: $(INSTALLED)

$(INSTALLED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
		echo "$(PYTHON) is missing or not Python 3.11 to 3.13. Name another: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) cannot make environments. Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 2; }
	@echo "Installing requirements.lock into .venv, once: 6 GB on Linux, 2 GB with TORCH=cpu. The last step is silent for a minute or two."
	@[ -f $@ ] || $(PYTHON) -m venv --clear .venv
	@rm -f $@
ifeq ($(TORCH),cpu)
	@grep -vE '$(CUDA_ALONE)' requirements.lock | .venv/bin/python -m pip install --disable-pip-version-check \
		--extra-index-url $(CPU_INDEX) -r /dev/stdin
else
	@.venv/bin/python -m pip install --disable-pip-version-check -r requirements.lock
endif
	@cp requirements.lock $@

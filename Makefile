PYTHON ?= $(shell command -v python3.11 || command -v python3)
OUT ?= runs/demo
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test setup lint check format constraints clean

demo: setup  ## the main job, from nothing
	$(BIN)/simreal run --out $(OUT) --overwrite

test: setup  ## the whole test suite
	$(BIN)/pytest

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "simreal needs CPython 3.11: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0 numpy
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: setup  ## pin what is installed now
	@{ head -1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//'; } > .constraints
	@mv .constraints constraints.txt

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache

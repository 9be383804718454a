PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
OUT ?= runs/demo
BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --root-user-action ignore

.DELETE_ON_ERROR:
.PHONY: demo test setup lint check format constraints clean

demo: setup  ## the main job, from nothing
	$(BIN)/simreal run --out $(OUT) --overwrite

test: setup  ## the whole test suite, on two cores
	$(BIN)/pytest --numprocesses 2 --dist worksteal

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
		{ echo "simreal needs CPython 3.11, not $(PYTHON): make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(PIP) --constraint constraints.txt torch==2.13.0 numpy
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -c 'import sys, pybullet; sys.exit(not pybullet.isNumpyEnabled())' >/dev/null 2>&1 || \
		{ echo "pybullet was built without numpy: reinstall it with --no-build-isolation" >&2; exit 1; }
	@touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints:  ## pin anew what a fresh environment takes
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(PYTHON) -m venv "$$folder/venv"; \
	"$$folder/venv/bin/python" -m pip install --quiet --editable '.[dev]'; \
	"$$folder/venv/bin/python" -m pip freeze --all --exclude pip --exclude-editable > "$$folder/freeze"; \
	{ head -1 constraints.txt; sed 's/+[^+]*$$//' "$$folder/freeze"; } > "$$folder/constraints"; \
	cp "$$folder/constraints" constraints.txt

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

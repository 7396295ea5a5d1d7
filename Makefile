PYTHON ?= python3
BIN := .venv/bin
TEST := $(BIN)/python -m pytest
# The tests start hundreds of processes: each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: train test tests check format soak documents clean

train: .venv/.installed  ## trains the autoencoder on the embedded data
	$(BIN)/python trainers/train_cae_baseline.py

test: .venv/.installed  ## everything that must hold, in a few minutes; types are checked while the tests begin
	$(MAKE) --no-print-directory --jobs 2 check tests

# Three at once on two cores: a fifth of the time they wait for processes.
tests: .venv/.installed
	$(TEST) -n 3 --dist worksteal

check: .venv/.installed  ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

documents: .venv/.installed  ## what is generated from the code: the configuration reference, the JSON schema, the floors
	$(BIN)/firebox schema --output configs/schema.json
	$(BIN)/firebox schema --markdown --output docs/configuration.md
	$(BIN)/python docs/make_floors.py

soak: .venv/.installed  ## the files with long tests: hundreds of kills, 1,000 damaged checkpoints, 1,000 mutated configurations
	FIREBOX_SOAK=1 $(TEST) $$(grep -rlE "\bsoak\b|SOAK" tests --include='test_*.py')

.venv/.installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

clean:
	rm -rf .venv

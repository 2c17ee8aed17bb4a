# `make demo` and `make test` set up what they need and work as the first command on a fresh clone.

PYTHON ?= python3
BIN := .venv/bin

# The tiny models are faster with one thread than with many, and busy threads starve their neighbours.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive

.PHONY: demo test check setup system clean

setup: .venv/.complete

# --no-deps: the list is complete, and vLLM's CPU build asks for a torch build that PyPI does not have.
.venv/.complete: requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-deps --requirement requirements-dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: setup
	$(BIN)/sophia demo --run runs/demo

# Slurm, which the tests start and stop. Where it can't be installed, they say what to do.
system:
	@.ci/apt

test: setup
	-@.ci/apt
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv runs

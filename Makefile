# make demo   a small policy learns by RL on this machine, from nothing to a report
# make test   the tests, real engines included, in two processes
# make test-full  and what `make test` only samples: every combination of layouts, and all hostile programs everywhere
# make check  ruff, mypy and the import rules
# make soak   5,000 jobs through the sandbox, a tenth of them hostile, and each hostile program on every backend (minutes)
# Each does its own set-up into .venv. A Python and a C++ compiler are all that must be there.

# A Python 3.8 or later, to fetch uv with.
PYTHON ?= python3
# Where a CPU build of torch is looked for first: the index that pytorch.org names. The default index comes after it.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
RECIPE ?= recipes/demo.yaml
ARGS ?=
# Two processes share the tests (tests/lanes.py); ARGS="-n 0 tests/learner" runs some in one.
LANES := -n 2 --dist loadgroup --no-loadscope-reorder

BIN := .venv/bin
# Two cores are shared by learner, engine and Ray; more threads each would only wait for one another.
export OMP_NUM_THREADS ?= 1
# Dozens of processes import the same libraries: their bytecode is written once, whatever the shell says.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup demo test test-full check soak clean

setup: .venv/ready

.venv/ready: requirements/cpu.lock requirements/install.sh setup.cfg pyproject.toml
	@PYTHON=$(PYTHON) TORCH_INDEX=$(TORCH_INDEX) requirements/install.sh
	@touch $@

demo: setup
	$(BIN)/reprise train $(RECIPE) $(ARGS)

test: setup
	$(BIN)/python -m pytest $(LANES) $(ARGS)

test-full: setup
	$(BIN)/python -m pytest $(LANES) --full $(ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@mkdir -p build/typing && ln -sfn ../.. build/typing/reprise
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet tests/test_import_rules.py

soak: setup
	$(BIN)/python -m pytest tests/rewards/adversarial --full --soak-jobs 5000 $(ARGS)

clean:
	rm -rf .venv .uv build *.egg-info

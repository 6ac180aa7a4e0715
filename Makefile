# make demo   a small policy learns by RL on this machine, from nothing to a report
# make test   the tests, real engines included, in two processes
# make test-full  and what `make test` only samples: every combination of layouts, and all hostile programs everywhere
# make check  ruff, mypy and the import laws
# make soak   5,000 jobs through the sandbox, a tenth of them hostile, and each hostile program on every backend (minutes)
# Each does its own set-up into .venv. Python 3.11 and a C++ compiler are all that must be there.

PYTHON ?= python3
# Where a CPU build of torch comes from, if your default index serves a CUDA one (README: set-up).
TORCH_INDEX ?=
RECIPE ?= recipes/demo.yaml
ARGS ?=
# Two processes share the tests (tests/lanes.py); ARGS="-n 0 tests/learner" runs some in one.
LANES := -n 2 --dist loadgroup --no-loadscope-reorder

BIN := .venv/bin
# Two cores are shared by learner, engine and Ray; more threads each would only wait for one another.
export OMP_NUM_THREADS ?= 1

.PHONY: setup demo test test-full check soak clean

setup: .venv/ready

.venv/ready: requirements/cpu.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v != (3, 11) and "requirements/cpu.lock is for Python 3.11, not %d.%d: make PYTHON=python3.11" % v)'
	@echo "Setting up .venv from requirements/cpu.lock (a minute or two, once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet pip==26.3 uv==0.13.9
	@$(BIN)/python -m pip install --quiet --no-deps $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $$(grep '^torch==' requirements/cpu.lock)
	@grep -v '^torch==' requirements/cpu.lock > .venv/rest.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -r .venv/rest.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
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
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet tests/test_import_laws.py

soak: setup
	$(BIN)/python -m pytest tests/rewards/adversarial --full --soak-jobs 5000 $(ARGS)

clean:
	rm -rf .venv build *.egg-info

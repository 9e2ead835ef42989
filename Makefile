# `make run` compares congestion controllers on a bundled trace; `make test` runs every test. Both set up what they need, once.
.PHONY: run test test-busy test-nightly setup policy lint test-vm

PYTEST_ARGS ?=

run:
	@scripts/setup.sh
	@.venv/bin/tbtest run --topology dumbbell

test:
	@scripts/setup.sh policy dev
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m mypy
	@.venv/bin/python -m pytest --hypothesis-profile=ci -n 2 --dist loadscope $(PYTEST_ARGS)

# `make test`'s tests twenty times beside four busy loops: does one fail by luck? Takes a day; RUNS, LOOPS and PYTEST_ARGS make it less.
test-busy:
	@scripts/setup.sh policy dev
	@PYTEST_ARGS="$(PYTEST_ARGS)" scripts/test_busy.sh $(or $(RUNS),20) $(or $(LOOPS),4)

# Live cells that `make test` leaves out, for minutes. Needs root.
test-nightly:
	@scripts/setup.sh policy dev
	@.venv/bin/python -m pytest -m nightly $(PYTEST_ARGS)

setup:
	@scripts/setup.sh

# PyTorch, for `tbtest train`, `tbtest models export` and models on CUDA; the bundled models run without.
policy:
	@scripts/setup.sh policy

lint:
	@.venv/bin/python -m ruff check . && .venv/bin/python -m ruff format --check . && .venv/bin/python -m mypy

# The tests that need a distribution's kernel, inside one (docs/reference/kernels.md). VM_ARGS="--kernel 6.12 --kernel uml"
test-vm:
	@scripts/setup.sh dev
	@.venv/bin/python scripts/vm $(VM_ARGS)

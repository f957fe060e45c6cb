# make demo, make test: each works from a fresh clone with nothing but Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
# The product with its extras is all that the demo needs; the rest needs the tools, too.
READY := .venv/ready
DEV := .venv/ready-dev
# Where this is set, as in some containers, each of the hundreds of processes that the tests start would
# compile the library anew.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test all-tests test-fast test-faults lint format types docs benchmark clean

demo: $(READY)
	@$(BIN)/python examples/demo.py

# Types are checked beside the tests, which wait for servers half of the time.
test: $(DEV) format
	@$(MAKE) --no-print-directory -j 2 types all-tests

# Three processes for two cores: tests wait for servers a third of the time.
all-tests: $(DEV)
	$(BIN)/python -m pytest -n 3

test-fast: $(DEV)
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-faults: $(DEV)
	$(BIN)/python -m pytest -n 2 -m "long or not long" -rP tests/faults
	$(BIN)/python -m pytest -n 2 -m long --ignore tests/faults

lint: format types

format: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(DEV)
	nice $(BIN)/mypy

docs: $(DEV)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The pages are in build/site: open build/site/index.html"

benchmark: $(DEV)
	$(PIP) --group benchmark
	$(BIN)/python benchmarks/chat_history.py
	$(BIN)/python benchmarks/vector_store.py
	$(BIN)/python benchmarks/documents.py
	$(BIN)/python benchmarks/sessions.py
	$(BIN)/python benchmarks/checkpoints.py
	$(BIN)/python benchmarks/caches.py

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"Python 3.11 or later is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.11")'
	@echo "Installing into .venv; the first time this takes a minute or two."
	$(PYTHON) -m venv .venv
	$(PIP) --editable '.[all]'
	@touch $@

$(DEV): $(READY)
	$(PIP) --upgrade 'pip>=25.1'
	$(PIP) --group test --group lint --group docs --group notebooks
	@touch $@

clean:
	rm -rf .venv dist build .hypothesis .mypy_cache .pytest_cache .ruff_cache

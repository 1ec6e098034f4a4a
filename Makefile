# Targets for people; `make` alone lists them.
STACK  ?= g6e-dev
FORMAT ?= text
ARGS   ?=
ONLY   ?=
YES    ?=
KEEP   ?=
VENV   := .venv
PY     := $(VENV)/bin/python
UV     := $(shell command -v uv 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help plan objects test test-engine deletions mutants lint check preview up recover destroy schema shapes shapes-build lock bench clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  STACK=<name> picks the stack (default $(STACK)): $(patsubst stacks/Pulumi.%.yaml,%,$(wildcard stacks/Pulumi.*.yaml))"

# Installs once: the stamp is newer than the locked requirements. Bytecode is compiled here, not on the first run.
$(VENV)/.installed: requirements.txt
	@if [ -n "$(UV)" ]; then \
	  { [ -x $(PY) ] || $(UV) venv -q --python ">=3.11" $(VENV); } && $(UV) pip install -q --compile-bytecode --python $(PY) -r requirements.txt; \
	else \
	  { [ -x $(PY) ] || python3 -m venv $(VENV); } && $(PY) -m pip install -q --compile --disable-pip-version-check -r requirements.txt; \
	fi
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@if [ -n "$(UV)" ]; then $(UV) pip install -q --compile-bytecode --python $(PY) -r requirements-dev.txt; \
	else $(PY) -m pip install -q --compile --disable-pip-version-check -r requirements-dev.txt; fi
	@touch $@

plan: $(VENV)/.installed ## show what the program would do, offline (STACK=all for every stack, FORMAT=markdown|json)
	@$(PY) -m review --stack $(STACK) --format $(FORMAT) $(ARGS)

objects: $(VENV)/.installed ## write the rendered Kubernetes objects of STACK to objects/
	@$(PY) -m review --stack $(STACK) --format text --objects objects/$(STACK) $(ARGS)

test: $(VENV)/.installed-dev ## run every test that needs no engine
	@$(PY) -m pytest -n auto -m "not engine"

test-engine: $(VENV)/.installed-dev ## tests with the real engine, API server and schedulers (see CONTRIBUTING.md; ONLY=life, JOBS=2)
	@$(PY) -m tools.engine_tests $(ONLY)

deletions: $(VENV)/.installed-dev ## delete each line that protects something and see that a test fails (ONLY=part of a path)
	@$(PY) -m tools.deletions $(ONLY)

mutants: $(VENV)/.installed-dev ## mutate what decides and see that a test fails; half an hour (ONLY=capacity/window, ONLY=graphs.py:pod_fits)
	@$(PY) -m tools.mutants $(ONLY)

lint: $(VENV)/.installed-dev ## ruff and pyright
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m pyright

engine:
	@command -v pulumi >/dev/null || { echo "The pulumi CLI is not on PATH. Get it from https://www.pulumi.com/docs/install/ ($$(grep requiredPulumiVersion Pulumi.yaml))." >&2; exit 1; }
	@pulumi whoami >/dev/null 2>&1 || { echo "No Pulumi backend is logged in. 'pulumi login' for Pulumi Cloud, or 'pulumi login s3://bucket' for your own." >&2; exit 1; }
	@if grep -q '^  aws:region' stacks/Pulumi.$(STACK).yaml 2>/dev/null; then \
	  command -v aws >/dev/null || { echo "The aws CLI is not on PATH; the cluster's kubeconfig needs it (aws eks get-token). See https://docs.aws.amazon.com/cli/." >&2; exit 1; }; \
	  aws sts get-caller-identity >/dev/null 2>&1 || { echo "No AWS credentials. 'aws sso login --profile <profile>' and export AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY." >&2; exit 1; }; \
	fi
.PHONY: engine

preview: engine $(VENV)/.installed ## `pulumi preview` of STACK with the real engine, after checking CLI and credentials
	@$(PY) -m review --stack $(STACK) --format quiet
	@pulumi preview --stack $(STACK) --diff

# ARGS as it was typed: make puts nothing in for the $ of a URN, and neither does the shell.
AS_TYPED = $(if $(value ARGS),--args '$(subst ','\'',$(value ARGS))')

# `exec`: whoever is asked to stop must be the command itself, which then waits for the engine; a shell would be gone at once.
# Before a block has started, what needs its nodes is left out: a Job there would wait for its timeout.
up: engine $(VENV)/.installed ## `pulumi up` of STACK; refuses when a rule of the plan fails or an earlier operation was cut off (YES=1, ARGS)
	@$(PY) -m review --stack $(STACK) --format quiet
	@exec $(PY) -m operations up --stack $(STACK) $(if $(YES),--yes) $$($(PY) -m review --stack $(STACK) --format arguments) $(AS_TYPED)

recover: engine $(VENV)/.installed ## after an operation was cut off: unlock STACK and find what it left (YES=1 does not ask, ARGS)
	@exec $(PY) -m operations recover --stack $(STACK) $(if $(YES),--yes) $(AS_TYPED)

destroy: engine $(VENV)/.installed ## `pulumi destroy` of STACK, after looking whether it can (KEEP=protected, YES=1, ARGS)
	@exec $(PY) -m operations destroy --stack $(STACK) $(if $(YES),--yes) $(if $(KEEP),--keep $(KEEP)) $(AS_TYPED)

schema: $(VENV)/.installed ## regenerate stacks/stack.schema.json
	@$(PY) -m tools.schema

shapes: $(VENV)/.installed-dev ## add the shapes of CRDs or a chart to the strict check (FROM=file|folder|chart|cluster)
	@$(PY) -m tools.shapes add $(FROM)

shapes-build: $(VENV)/.installed-dev ## derive the project's own shape tables again (CONTRACTS_DIR)
	@$(PY) -m tools.shapes build --contracts $(CONTRACTS_DIR)

bench: $(VENV)/.installed-dev ## measure the plan against importing the SDK (see benchmarks/)
	@$(PY) -m benchmarks

lock: ## lock the whole closure of requirements.in and requirements-dev.in again
	uv pip compile -q --universal --no-emit-index-url --no-emit-find-links --python-version 3.11 requirements.in -o requirements.txt
	uv pip compile -q --universal --no-emit-index-url --no-emit-find-links --python-version 3.11 requirements-dev.in -o requirements-dev.txt

clean: ## remove what make and the tests leave behind
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis objects

# Targets for people; `make` alone lists them.
STACK  ?= g6e-dev
FORMAT ?= text
ARGS   ?=
FROM   ?= g6e-dev
ONLY   ?=
YES    ?=
KEEP   ?=
PORT   ?=
GRAPH  ?=
REPOSITORY ?=
REVISION ?=
FOLDER ?=
BASE   ?= origin/main
PREVIEW ?=
GATE   ?=
VENV   := .venv
PY     := $(VENV)/bin/python
UV     := $(shell command -v uv 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help plan watch review new objects test test-engine deletions mutants sdk package lint check preflight policy model times prices preview up recover destroy serve schema shapes shapes-build flags lock bench clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  STACK=<name> picks the stack (default $(STACK)): $(patsubst stacks/Pulumi.%.yaml,%,$(wildcard stacks/Pulumi.*.yaml))"

# A virtualenv of an older Python, or of another folder, is named before anything fails in it.
venv-works:
	@[ ! -e $(VENV) ] || $(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || python3 tools/prerequisites.py venv
.PHONY: venv-works

# Bytecode is compiled here, not on the first run. uv takes a third of pip's time, so that a machine without it gets the locked one
# first; pip goes on where it cannot be had, or does not find what only pip is configured to find.
PIP := $(PY) -m pip install -q --disable-pip-version-check
define install
	@if [ -n "$(UV)" ]; then uv="$(UV)"; else uv="$(VENV)/bin/uv"; \
	  [ -x "$$uv" ] || $(PIP) "$$(sed -n 's/^\(uv==[0-9.]*\).*/\1/p' requirements-dev.txt)" 2>/dev/null || true; fi; \
	"$$uv" pip install -q --compile-bytecode --python $(PY) -r $(1) 2>/dev/null || $(PIP) --compile -r $(1)
endef

# Installs once: the stamp is newer than the locked requirements.
$(VENV)/.installed: requirements.txt | venv-works
	@python3 tools/prerequisites.py python
	@echo "Installing this program's packages into $(VENV), once (half a minute)" >&2
	@[ -x $(PY) ] || { [ -n "$(UV)" ] && $(UV) venv -q --seed --python ">=3.11" $(VENV); } || python3 -m venv $(VENV)
	$(call install,requirements.txt)
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(call install,requirements-dev.txt)
	@touch $@

check: ## list what this machine has of what is needed, and what to do about what is missing
	@python3 tools/prerequisites.py

plan: $(VENV)/.installed ## show what the program would do, offline (STACK=all for every stack, FORMAT=markdown|json)
	@$(PY) -m review --stack $(STACK) --format $(FORMAT) $(ARGS)

# Every stack unless one was named: the default one is not meant.
review: $(VENV)/.installed ## show what the working tree does to what BASE has made (BASE=origin/main, STACK=, PREVIEW=events.jsonl, GATE=stateful,data, FORMAT=markdown|json)
	@$(PY) -m review.change_report --stack $(if $(filter file,$(origin STACK)),all,$(STACK)) --base '$(BASE)' --format $(FORMAT) $(if $(PREVIEW),--preview '$(PREVIEW)') $(if $(GATE),--gate '$(GATE)') $(ARGS)

watch: $(VENV)/.installed ## plan STACK anew after every save of its file; ends with Ctrl-C
	@$(PY) -m review.watch --stack $(STACK) $(ARGS)

# `make new STACK=prod FROM=g6e-dev ARGS="--region eu-west-1 --admin none --reach 52.95.4.7/32"`
new: $(VENV)/.installed ## write a stack file of your own from a shipped one (STACK=<new name>, FROM=g6e-dev, ARGS="--region ...")
	@$(if $(filter file,$(origin STACK)),echo "make new STACK=<a name of your own> FROM=$(FROM)" >&2; exit 2)
	@$(PY) -m operations.new --stack $(STACK) --from $(FROM) $(ARGS)

objects: $(VENV)/.installed ## write the rendered Kubernetes objects of STACK to objects/
	@$(PY) -m review --stack $(STACK) --format text --objects objects/$(STACK) $(ARGS)

test: $(VENV)/.installed-dev ## run every test that needs no engine
	@$(PY) -m pytest -n auto -m "not engine"

test-engine: $(VENV)/.installed-dev ## tests with the real engine, API server and schedulers (see CONTRIBUTING.md; ONLY=life, JOBS=2)
	@$(PY) -m tools.engine_tests $(ONLY)

deletions: $(VENV)/.installed-dev ## delete each line that protects something and see that a test fails (ONLY=part of a path)
	@$(PY) -m tools.deletions $(ONLY)

mutants: $(VENV)/.installed-dev ## mutate what decides and see that a test fails; half an hour (ONLY=capacity/window, ONLY=rules/graphs.py:pod_fits)
	@$(PY) -m tools.mutants $(ONLY)

sdk: $(VENV)/.installed-dev ## hold what is taken of the SDK's inside against its oldest and newest supported version
	@$(PY) -m tools.sdk_versions

package: $(VENV)/.installed-dev ## install the library dynamo_eks into a folder of its own and import all of it
	@$(PY) -m tools.package

lint: $(VENV)/.installed-dev ## ruff and pyright
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m pyright

# Asked before anything that needs the engine: what is missing, in one line each.
engine:
	@python3 tools/prerequisites.py pulumi login
	@if grep -q '^ *aws:region' stacks/Pulumi.$(STACK).yaml 2>/dev/null; then \
	  profile=$$(sed -n "s/^ *aws:profile: *//p" stacks/Pulumi.$(STACK).yaml | sed "s/ *\#.*//" | tr -d "\"'"); \
	  $${profile:+env AWS_PROFILE="$$profile"} python3 tools/prerequisites.py aws credentials; \
	fi
.PHONY: engine

preflight: $(VENV)/.installed ## ask account, registries and Hugging Face what could refuse STACK, all at once (FORMAT=json)
	@$(PY) -m operations.preflight --stack $(STACK) --format $(FORMAT) $(ARGS)

policy: $(VENV)/.installed ## print the least that an identity must be allowed to do for STACK, as IAM policies (ARGS="--folder policy")
	@$(PY) -m operations.policy --stack $(STACK) $(ARGS)

# Into the stack file only when a stack was named; the default one is not meant.
model: $(VENV)/.installed ## print a model's facts from its own config.json, or write them into STACK (REPOSITORY=org/name, REVISION=, FOLDER=)
	@$(PY) -m operations.model --repository "$(REPOSITORY)" $(if $(REVISION),--revision "$(REVISION)") $(if $(FOLDER),--folder "$(FOLDER)") $(if $(filter file,$(origin STACK)),,--stack $(STACK)) $(ARGS)

times: $(VENV)/.installed ## fold how long your own operations took into stacks/times.json, which the plan then prefers (STACK for its history, ARGS="--log FILE")
	@$(PY) -m operations.times $(if $(filter file,$(origin STACK)),,--stack $(STACK)) $(ARGS)

prices: $(VENV)/.installed ## ask AWS for today's prices of STACK's region and write them into the plan's tables (ARGS="--region eu-west-1 --no-write")
	@$(PY) -m operations.prices --stack $(STACK) $(ARGS)

preview: engine $(VENV)/.installed ## `pulumi preview` of STACK with the real engine, after checking CLI and credentials
	@pulumi preview --stack $(STACK) --diff

# ARGS as it was typed: make puts nothing in for the $ of a URN, and neither does the shell.
AS_TYPED = $(if $(value ARGS),--args '$(subst ','\'',$(value ARGS))')

# `exec`: whoever is asked to stop must be the command itself, which then waits for the engine; a shell would be gone at once.
# Before a block has started, what needs its nodes is left out: a Job there would wait for its timeout.
up: engine $(VENV)/.installed ## `pulumi up` of STACK; refuses when a rule fails, AWS would refuse an edit, or an operation was cut off (YES=1, ARGS)
	@$(PY) -m operations ready --stack $(STACK)
	@$(PY) -m operations edits --stack $(STACK)
	@$(PY) -m operations.preflight --stack $(STACK) --for-up
	@exec $(PY) -m operations up --stack $(STACK) $(if $(YES),--yes) $$($(PY) -m review --stack $(STACK) --format arguments) $(AS_TYPED)

recover: engine $(VENV)/.installed ## after an operation was cut off: unlock STACK and find what it left (YES=1 does not ask, ARGS)
	@exec $(PY) -m operations recover --stack $(STACK) $(if $(YES),--yes) $(AS_TYPED)

destroy: engine $(VENV)/.installed ## `pulumi destroy` of STACK, after looking whether it can (KEEP=protected, YES=1, ARGS)
	@exec $(PY) -m operations destroy --stack $(STACK) $(if $(YES),--yes) $(if $(KEEP),--keep $(KEEP)) $(AS_TYPED)

# Of the stack: only when it was asked for, since the default one is no mocker's. Asked first whether Dynamo runs here at all.
SERVED = $(if $(filter file,$(origin STACK)),mocker-local,$(STACK))
serve: platform $(VENV)/.installed ## run a mocker stack on this machine, by the real Dynamo (STACK=mocker-local, PORT=8000)
	@$(PY) -m operations.serve --stack $(SERVED) $(if $(PORT),--port $(PORT)) $(if $(GRAPH),--graph $(GRAPH)) $(ARGS)

platform:
	@if command -v python3 >/dev/null; then python3 operations/serve/platforms.py; fi
.PHONY: platform

schema: $(VENV)/.installed ## regenerate stacks/stack.schema.json
	@$(PY) -m tools.schema

shapes: $(VENV)/.installed-dev ## add the shapes of CRDs or a chart to the strict check (FROM=file|folder|chart|cluster)
	@$(PY) -m tools.shapes add $(FROM)

shapes-build: $(VENV)/.installed-dev ## derive the project's own shape tables again (CONTRACTS_DIR)
	@$(PY) -m tools.shapes build --contracts $(CONTRACTS_DIR)

flags: $(VENV)/.installed-dev ## read the flags of every supported release of Dynamo again, from its wheels and its engines'
	@$(PY) -m tools.flags build $(ARGS)

bench: $(VENV)/.installed-dev ## measure the plan against importing the SDK, and zero to first token against its bound (see benchmarks/)
	@$(PY) -m benchmarks
	@$(PY) -m benchmarks.waits

lock: ## lock the whole closure of requirements.in and requirements-dev.in again
	uv pip compile -q --universal --no-emit-index-url --no-emit-find-links --python-version 3.11 requirements.in -o requirements.txt
	uv pip compile -q --universal --no-emit-index-url --no-emit-find-links --python-version 3.11 requirements-dev.in -o requirements-dev.txt
	cd operations/serve && for release in requirements-*.in; do \
	  uv pip compile -q --universal --no-emit-index-url --no-emit-find-links --python-version 3.11 --excludes excluded.txt $$release -o $${release%.in}.txt; \
	done

clean: ## remove what make and the tests leave behind
	rm -rf $(VENV) .serve .sdk build *.egg-info .pytest_cache .ruff_cache .hypothesis objects

# The verbs of the project. Each sets up what it needs; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup setup-kfp demo check format docs test test-slow test-docker test-pages test-newest coverage image \
	kfp-image kfp-local bench bench-setup bench-docker lock clean

PYTHON := .venv/bin/python
# Without INFRAVAL_STACK, any stack that is there will do.
STAMP := .venv/complete$(addprefix -,$(INFRAVAL_STACK))
LOCK = .venv/bin/uv pip compile --generate-hashes --custom-compile-command "make lock" --upgrade --quiet
# The stack of images, what they stand on, and what their packages are installed in (see the Dockerfiles).
STACK := 1.21
BASE_1.16 := python:3.10-slim-bookworm
BASE_1.21 := python:3.11-slim-trixie
BASE := $(BASE_$(STACK))
INSTALLER := $(BASE)
KFP_INSTALLER := $(subst -slim,,$(BASE))
# More flags for `docker build`.
BUILD_FLAGS :=
# The tests start `pytest`, not `python -m pytest`: that would put this folder on the import path.
# One worker a processor; each has TensorFlow and a server or two in memory, hence a maximum. The tests of a module share
# fixtures, so they stay on one worker; the order is that of tests/conftest.py, longest folders first.
PYTEST := .venv/bin/pytest
QUICK := not slow and not docker and not pages
WORKERS := logical
PARALLEL := -n $(WORKERS) --maxprocesses 4 --dist loadscope --no-loadscope-reorder

# Some machines set them for all processes. With the one, each of the hundreds of processes that import TensorFlow or TFX
# compiles it from its sources again, which takes longer than the import; the other hides what becomes of buffered output.
unexport PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## make .venv with everything the project needs (INFRAVAL_STACK=1.16 or 1.21)

$(STAMP): $(wildcard requirements/tfx-*.txt) requirements/install.sh requirements/stack.sh requirements/find_python.sh setup.py
	@requirements/install.sh

setup-kfp: .venv-kfp/complete ## make .venv-kfp with the newest Kubeflow Pipelines SDK

.venv-kfp/complete: $(STAMP) requirements/kfp.txt requirements/install_kfp.sh
	@requirements/install_kfp.sh

demo: setup ## run the digits pipeline: train, evaluate, validate, push warm (FLAGS=--clean, FLAGS=--verbose)
	@$(PYTHON) pipeline/run_local.py $(FLAGS)

check: setup ## linters, formatter, types, import contracts
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports

format: setup ## format and fix what can be fixed by itself
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

docs: setup ## write the pages of docs/reference that are generated
	$(PYTHON) docs/reference/generate_options.py > docs/reference/options.md
	.venv/bin/infraval report --schema > docs/reference/report.schema.json

test: setup ## run the tests
	$(PYTEST) $(PARALLEL) -m "$(QUICK)"

test-slow: setup setup-kfp ## run the tests that take minutes
	$(PYTEST) $(PARALLEL) -m "slow and not docker"

test-docker: setup setup-kfp ## run the tests that need a Docker engine, on one of their own (as root)
	@tests/docker/run.sh $(PYTEST) -m docker

test-pages: setup ## run the tests of the report's page in a headless Chromium (Debian's; as root, if it is to be installed)
	@tests/report/browser.sh
	$(PYTEST) -m pages tests/report

test-newest: ## run `make test` and the demo with the newest stack, in a Debian 13 if this machine cannot run it (as root)
	@tests/newest.sh $(MAKE) --no-print-directory demo test

coverage: setup ## run the tests of `make test`, and print which share of each module they execute
	$(PYTEST) $(PARALLEL) -m "$(QUICK)" --cov --cov-report=term

image: ## build infraval/model-server in your Docker engine (STACK=1.16, BASE=, INSTALLER=)
	docker build $(BUILD_FLAGS) --file kubeflow/model-server/Dockerfile --build-arg STACK=$(STACK) \
		--build-arg BASE=$(BASE) --build-arg INSTALLER=$(INSTALLER) --tag infraval/model-server .

kfp-image: ## build infraval/component, for the tasks of the Kubeflow pipeline (STACK=1.16, BASE=, KFP_INSTALLER=)
	docker build $(BUILD_FLAGS) --file kubeflow/Dockerfile --build-arg STACK=$(STACK) --build-arg BASE=$(BASE) \
		--build-arg INSTALLER=$(KFP_INSTALLER) --tag infraval/component .

kfp-local: setup setup-kfp kfp-image ## run the Kubeflow pipeline with kfp.local, each task in a container; results in demo/kfp
	$(PYTHON) pipeline/run_kubeflow.py --pipeline-root $(CURDIR)/demo/kfp --image infraval/component \
		--output demo/kfp/digits.yaml
	.venv-kfp/bin/python pipeline/run_kfp_local.py demo/kfp/digits.yaml --pipeline-root demo/kfp

bench: setup ## measure speed against peers in the same run
	@good=0; for each in run validate gates load; do $(PYTHON) tests/benchmarks/$$each.py || good=1; done; exit $$good

bench-docker: setup ## the same for the Docker sandbox, on an engine of its own (as root)
	@tests/docker/run.sh sh -c 'DOCKER_HOST=$$INFRAVAL_TEST_ENGINE $(PYTHON) tests/benchmarks/containers.py'

bench-setup: setup ## measure a fresh clone: set-up and demo, step by step
	$(PYTHON) tests/benchmarks/fresh_clone.py

lock: setup ## resolve every .in again, each stack from any machine
	$(LOCK) requirements/tfx-1.16.in --output-file requirements/tfx-1.16.txt --python-version 3.10
	$(LOCK) requirements/tfx-1.21.in --output-file requirements/tfx-1.21.txt --universal --python-version 3.11 \
		--override requirements/tfx-1.21.overrides.txt
	$(LOCK) requirements/kfp.in --output-file requirements/kfp.txt --universal --python-version 3.11
	$(LOCK) kubeflow/requirements.in --output-file kubeflow/requirements-1.16.txt --python-version 3.10 \
		--constraint requirements/tfx-1.16.txt
	$(LOCK) kubeflow/requirements.in --output-file kubeflow/requirements-1.21.txt --universal --python-version 3.11 \
		--constraint requirements/tfx-1.21.txt --override requirements/tfx-1.21.overrides.txt
	cd kubeflow/model-server && for stack in 1.16:3.10 1.21:3.11; do \
		../../$(LOCK) requirements-$${stack%:*}.in --output-file requirements-$${stack%:*}.txt --override overrides.txt \
			--python-version $${stack#*:} --constraint ../../requirements/tfx-$${stack%:*}.txt || exit; done

clean: ## remove what make has made
	rm -rf .venv .venv-kfp build demo components/*.egg-info

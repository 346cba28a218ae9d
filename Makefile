# The verbs of the project. Each sets up what it needs; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup setup-kfp demo check format test test-slow bench lock clean

PYTHON := .venv/bin/python
# The tests start `pytest`, not `python -m pytest`: that would put this folder on the import path.

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

setup: .venv/complete ## make .venv with everything the project needs

.venv/complete: requirements/lock.txt requirements/install.sh requirements/find_python.sh setup.py
	@requirements/install.sh

setup-kfp: .venv-kfp/complete ## make .venv-kfp with the newest Kubeflow Pipelines SDK

.venv-kfp/complete: .venv/complete requirements/kfp.lock.txt requirements/install_kfp.sh
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

test: setup setup-kfp ## run the tests
	.venv/bin/pytest -m "not slow"

test-slow: setup setup-kfp ## run the tests that take minutes
	.venv/bin/pytest -m slow

bench: setup ## measure speed against peers in the same run
	$(PYTHON) tests/benchmarks/run.py

lock: setup ## resolve requirements/*.in anew
	.venv/bin/uv pip compile requirements/lock.in --output-file requirements/lock.txt --python-version 3.10 \
		--generate-hashes --custom-compile-command "make lock" --upgrade --quiet
	.venv/bin/uv pip compile requirements/kfp.in --output-file requirements/kfp.lock.txt --python-version 3.11 \
		--generate-hashes --custom-compile-command "make lock" --upgrade --quiet

clean: ## remove what make has made
	rm -rf .venv .venv-kfp build demo components/*.egg-info

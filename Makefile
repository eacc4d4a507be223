.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help setup demo test lint check bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## create .venv with suture, its peers for tests, and the linters; warm the compiler's cache

$(STAMP): pyproject.toml constraints.txt codegen/decoder.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "suture needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,dev,aws,bench,sign]'
	$(BIN)/pip download --quiet --no-deps --requirement codegen/decoder.txt --dest .venv/share/suture
	$(BIN)/suture warm
	touch $@

demo: setup ## analyse, plan, compile and invoke on real handwritten digits
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/digits/demo.sh out

test: setup ## all tests
	$(BIN)/pytest --numprocesses auto --dist loadfile

lint: setup ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

check: lint test ## what CI runs

bench: setup ## networks and kernels against ONNX Runtime and OpenVINO
	$(BIN)/python benchmarks/networks
	$(BIN)/python benchmarks/kernels

clean: ## remove the environment and everything built
	rm -rf .venv build out .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info src/*.egg-info

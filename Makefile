# Everything is installed into .venv, inside this folder. `make help` lists the targets.
SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help demo test test-fast lint format proto lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(STAMP): requirements/dev.txt pyproject.toml scripts/bootstrap
	@sh scripts/bootstrap requirements/dev.txt
	@touch $@

demo: $(STAMP) ## run the main job on real parts; UPSTREAM=http://host:port puts it in front of a real engine
	@exec $(BIN)/python -m demo

test: $(STAMP) ## run all tests; ARGS="-k words" to choose
	@exec $(BIN)/python -m pytest $(ARGS)

lint: $(STAMP) ## formatting, lint, types, import directions, wire contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint proto

format: $(STAMP) ## rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: $(STAMP) ## generate the Python code of the wire contract
	@sh scripts/generate-proto proto

lock: $(STAMP) ## pin the newest allowed versions (LOCK_ARGS=--upgrade) in requirements/
	@sh scripts/lock $(LOCK_ARGS)

clean: ## remove everything that was made in this folder
	rm -rf .venv .phoebe .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info

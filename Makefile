# Everything is installed into .venv, inside this folder. `make help` lists the targets.
SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
STAMP := .venv/.installed
ENGINE := .venv-engine
ENGINE_STAMP := $(ENGINE)/.installed
FOCUS := .venv-focus
DOCS := .venv-docs
DOCS_STAMP := $(DOCS)/.installed
WITNESSES := .venv-witnesses
DEPLOY := .venv-deploy
ARCHIVE := .venv-archive
ARCHIVE_STAMP := $(ARCHIVE)/.installed
EARLIER := .venv-earlier
SBOM := .venv-sbom
SBOM_STAMP := $(SBOM)/.installed
WORKFLOWS := .venv-workflows
WORKFLOWS_STAMP := $(WORKFLOWS)/.installed
DEPLOY_STAMP := $(DEPLOY)/.installed
WITNESSES_STAMP := $(WITNESSES)/.installed
FOCUS_STAMP := $(FOCUS)/.installed
PEERS := .venv-peers
PEERS_STAMP := $(PEERS)/.installed
NODE_PEERS := .node-peers
# Python keeps what it compiles, whatever the environment says: else every program that tests start compiles it all.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo check check-tests test test-archive test-clients test-console test-docs test-engine test-focus test-long test-scale test-upgrade test-watch test-witnesses test-deploy manifests dashboards \
	images pin-base release check-workflows docs example-settings bench bench-citus bench-growth bench-peers bench-quick simulate test-database chaos insides insides-diff lint format proto lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# It first looks for a Python that fits, or fetches one, and otherwise says what is missing: PYTHON=/path names one.
$(STAMP): requirements/dev.txt pyproject.toml scripts/bootstrap
	@sh scripts/bootstrap requirements/dev.txt
	@touch $@

demo: $(STAMP) ## run the main job on real parts; UPSTREAM=http://host:port: in front of a real engine; ARGS=--keep, -h
	@exec $(BIN)/python -m demo $(ARGS)

# Both at once: the type checker keeps one core busy. Their outputs come one after the other, where make can do that.
check: $(STAMP) ## lint, unit and property tests at once, and the coverage of what is pure
	@$(MAKE) --no-print-directory --jobs=2 $(if $(filter output-sync,$(.FEATURES)),--output-sync) lint check-tests

check-tests: $(STAMP)
	@exec $(BIN)/python -m tests.pure_coverage --quiet --dist worksteal --numprocesses logical --maxprocesses 4 $(ARGS)

test: $(STAMP) ## run all tests, on up to four cores; ARGS="-k words" to choose, ARGS=-n0 for one core
	@exec $(BIN)/python -m pytest --dist worksteal --numprocesses auto --maxprocesses 4 $(ARGS)

$(ENGINE_STAMP): requirements/engine.txt | $(STAMP)
	@echo "Installing requirements/engine.txt into $(ENGINE)" >&2
	@$(BIN)/python -m venv --clear --without-pip $(ENGINE)
	@$(BIN)/python -m pip --python $(ENGINE)/bin/python --disable-pip-version-check install --quiet \
		--no-deps --require-hashes -r $<
	@touch $@

test-engine: $(STAMP) $(ENGINE_STAMP) ## test against a real model server, llama.cpp's, with a tiny random model
	@exec $(BIN)/python -m pytest -m engine tests/engine $(ARGS)

$(WITNESSES_STAMP): requirements/witnesses.txt | $(STAMP)
	@echo "Installing requirements/witnesses.txt into $(WITNESSES)" >&2
	@$(BIN)/python -m venv --clear --without-pip $(WITNESSES)
	@$(BIN)/python -m pip --python $(WITNESSES)/bin/python --disable-pip-version-check install --quiet \
		--no-deps --require-hashes -r $<
	@touch $@

test-witnesses: $(STAMP) $(WITNESSES_STAMP) ## test what reaches engines on other HTTP servers: httptools, aiohttp, Node, cpp-httplib
	@WITNESSES=$(CURDIR)/$(WITNESSES) exec $(BIN)/python -m pytest tests/e2e/test_witnesses.py $(ARGS)

$(ARCHIVE_STAMP): tests/archive/requirements.txt | $(STAMP)
	@echo "Installing tests/archive/requirements.txt into $(ARCHIVE)" >&2
	@$(BIN)/python -m venv --clear --without-pip $(ARCHIVE)
	@$(BIN)/python -m pip --python $(ARCHIVE)/bin/python --disable-pip-version-check install --quiet \
		--no-deps --require-hashes -r $<
	@touch $@

test-archive: $(STAMP) $(ARCHIVE_STAMP) ## test the archive in a bucket, on moto's server, and DuckDB's queries over it
	@exec $(BIN)/python -m pytest -m archive tests/archive $(ARGS)

$(DEPLOY_STAMP): requirements/deploy.txt | $(STAMP)
	@echo "Installing requirements/deploy.txt into $(DEPLOY)" >&2
	@$(BIN)/python -m venv --clear --without-pip $(DEPLOY)
	@$(BIN)/python -m pip --python $(DEPLOY)/bin/python --disable-pip-version-check install --quiet \
		--no-deps --require-hashes -r $<
	@touch $@

test-deploy: $(STAMP) $(DEPLOY_STAMP) ## test what is deployed: images, chart, manifests, compose, units, the edge
	@exec $(BIN)/python -m pytest -m deploy tests/deploy $(ARGS)

manifests: $(STAMP) $(DEPLOY_STAMP) ## render the chart into deploy/manifests
	@$(DEPLOY)/bin/python scripts/render-chart

dashboards: $(STAMP) ## write the Grafana dashboards into deploy/grafana; then make manifests
	@$(BIN)/python -m dashboards deploy/grafana

images: ## build both images, and lists of what is in them; DOCKER=podman for another engine
	@sh scripts/images

pin-base: ## write the digest of the images' base into all Dockerfiles; needs docker and an image registry
	@sh scripts/pin-base

$(SBOM_STAMP): requirements/sbom.txt | $(STAMP)
	@echo "Installing requirements/sbom.txt into $(SBOM)" >&2
	@$(BIN)/python -m venv --clear --without-pip $(SBOM)
	@$(BIN)/python -m pip --python $(SBOM)/bin/python --disable-pip-version-check install --quiet \
		--no-deps --require-hashes -r $<
	@touch $@

release: $(STAMP) $(SBOM_STAMP) ## make a release on this machine, push nothing: VERSION=x.y.z; ARGS=--dry-run
	@exec $(BIN)/python scripts/release.py $(VERSION) $(ARGS)

$(WORKFLOWS_STAMP): requirements/workflows.txt | $(STAMP)
	@echo "Installing requirements/workflows.txt into $(WORKFLOWS)" >&2
	@$(BIN)/python -m venv --clear --without-pip $(WORKFLOWS)
	@$(BIN)/python -m pip --python $(WORKFLOWS)/bin/python --disable-pip-version-check install --quiet \
		--no-deps --require-hashes -r $<
	@touch $@

check-workflows: $(STAMP) $(WORKFLOWS_STAMP) ## check the workflows of GitHub: their schema, and what is unsafe in them
	@$(WORKFLOWS)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	@$(WORKFLOWS)/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(WORKFLOWS)/bin/zizmor --offline --quiet .github

lint: $(STAMP) ## formatting, lint, types, import directions, wire contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint proto

$(FOCUS_STAMP): tests/focus/requirements.txt | $(STAMP)
	@echo "Installing tests/focus/requirements.txt into $(FOCUS)" >&2
	@$(BIN)/python -m venv --clear --without-pip $(FOCUS)
	@$(BIN)/python -m pip --python $(FOCUS)/bin/python --disable-pip-version-check install --quiet \
		--no-deps --require-hashes -r $<
	@touch $@

test-focus: $(STAMP) $(FOCUS_STAMP) ## validate exports in the format FOCUS with its official validator
	@exec $(BIN)/python -m pytest -m focus tests/focus $(ARGS)

test-clients: $(STAMP) ## run the examples of docs/calling.md in Node and Go, as far as they are installed
	@exec $(BIN)/python -m pytest -m clients tests/clients $(ARGS)

test-console: $(STAMP) ## test the console in a real Chromium, which has to be installed: apt-get install chromium
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r requirements/browser.txt
	@cd tests/browser && npm ci --ignore-scripts --no-audit --no-fund --silent
	@exec $(BIN)/python -m pytest -m browser tests/browser $(ARGS)

test-docs: $(STAMP) ## run the commands of the documentation as they stand there; ARGS="-k rater.md" to choose
	@exec $(BIN)/python -m pytest -m docs tests/docs $(ARGS)

test-upgrade: $(STAMP) $(SBOM_STAMP) ## test the last release, or FROM=COMMIT, and this tree together, and how a release is made
	@sh scripts/earlier-release $(FROM)
	@exec $(BIN)/python -m pytest -m upgrade tests/upgrade $(ARGS)

test-watch: $(STAMP) ## test rules, dashboards and alerts with a real Prometheus: Debian: apt-get install prometheus
	@exec $(BIN)/python -m pytest -m watch tests/watch $(ARGS)

test-long: $(STAMP) ## test what takes long and seldom changes: moves and restores of databases, failovers, benchmarks, the doctor, chaos, the demo
	@exec $(BIN)/python -m pytest -m long --dist worksteal --numprocesses auto --maxprocesses 4 $(ARGS)

test-scale: $(STAMP) ## test what many events do to a database: a migration of a million of them while more are stored
	@exec $(BIN)/python -m pytest -m scale tests/scale $(ARGS)

$(DOCS_STAMP): requirements/docs.txt | $(STAMP)
	@echo "Installing requirements/docs.txt into $(DOCS)" >&2
	@$(BIN)/python -m venv --clear --without-pip $(DOCS)
	@$(BIN)/python -m pip --python $(DOCS)/bin/python --disable-pip-version-check install --quiet \
		--no-deps --require-hashes -r $<
	@touch $@

docs: $(STAMP) $(DOCS_STAMP) ## build the documentation as a site in .phoebe/site; a link that leads nowhere is an error
	@$(BIN)/python -m docs_site.reference .phoebe/reference
	@NO_MKDOCS_2_WARNING=1 exec $(DOCS)/bin/mkdocs build --quiet --strict $(ARGS)
	@echo "Open .phoebe/site/index.html"

bench: $(STAMP) ## compare Phoebe with bare mitmproxy; ARGS="--only NAME" to choose
	@exec $(BIN)/python -m bench $(ARGS)

$(PEERS_STAMP): bench/peers/requirements.txt bench/peers/package-lock.json | $(STAMP)
	@echo "Installing LiteLLM into $(PEERS) and Portkey's gateway into $(NODE_PEERS)" >&2
	@$(BIN)/python -m venv --clear --without-pip $(PEERS)
	@$(BIN)/python -m pip --python $(PEERS)/bin/python --disable-pip-version-check install --quiet \
		--no-deps --require-hashes -r $<
	@mkdir -p $(NODE_PEERS) && cp bench/peers/package.json bench/peers/package-lock.json $(NODE_PEERS)
	@npm ci --prefix $(NODE_PEERS) --ignore-scripts --no-audit --no-fund --silent
	@touch $@

bench-peers: $(STAMP) $(PEERS_STAMP) ## measure LiteLLM, Portkey's gateway and bare mitmproxy beside Phoebe; needs Node
	@exec $(BIN)/python -m bench.peers $(ARGS)

bench-growth: $(STAMP) ## how the rater's work grows with the events there are; ARGS="--events 12000 12000000"
	@exec $(BIN)/python -m bench.growth $(ARGS)

bench-citus: $(STAMP) ## storing on a Citus cluster beside plain PostgreSQL; ARGS="--cluster URL --plain URL"
	@exec $(BIN)/python -m bench.distributed $(ARGS)

simulate: $(STAMP) ## what a day of any rate takes; ARGS="--events-per-s 1000", --measure, "--check 1000000", --json
	@exec $(BIN)/python -m bench.simulate $(ARGS)

test-database: $(STAMP) ## run the tests with a database on a server of yours: DATABASE_URL=postgresql://…
	@exec $(BIN)/python -m pytest --postgres "$(DATABASE_URL)" tests/integration $(ARGS)

bench-quick: $(STAMP) ## the same with few rounds, in less than a minute
	@exec $(BIN)/python -m bench --quick $(ARGS)

chaos: $(STAMP) ## run real parts under load and faults; SEEDS=N for how many runs, SEED=s for one again
	@exec $(BIN)/python -m chaos $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),20)) $(ARGS)

format: $(STAMP) ## rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

example-settings: $(STAMP) ## write deploy/phoebe.example.yaml, the file of all settings
	@$(BIN)/python -m docs_site.example_settings deploy/phoebe.example.yaml

insides: $(STAMP) ## record what the installed mitmproxy does at the places that are relied on: docs/mitmproxy.md
	@$(BIN)/python -W ignore -m tests.harness.released_insides record

insides-diff: $(STAMP) ## show how it differs there between two releases: FROM=12.2.3 TO=12.3.1
	@$(BIN)/python -W ignore -m tests.harness.released_insides diff $(FROM) $(TO)

proto: $(STAMP) ## generate the Python code of the wire contract
	@sh scripts/generate-proto proto

lock: $(STAMP) ## pin the newest allowed versions (LOCK_ARGS=--upgrade) in requirements/
	@sh scripts/lock $(LOCK_ARGS)

clean: ## remove everything that was made in this folder
	rm -rf .venv $(ARCHIVE) $(ENGINE) $(FOCUS) $(WITNESSES) $(DEPLOY) $(DOCS) $(EARLIER) $(SBOM) $(WORKFLOWS) $(PEERS) $(NODE_PEERS) .phoebe .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage build dist *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

# `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup run test test-all test-pgbouncer test-postgres test-api chaos chaos-long soak timing lint format lock audit sbom docs screenshots vendor clean bench bench-peers bench-backlog bench-pages mutants model
bin := .venv/bin
WORKERS ?= 2
exported = $(bin)/uv export --quiet --frozen $(1) --no-emit-project --format requirements-txt -o

SBOM ?= dist
listed = $(bin)/uv export --quiet --frozen --extra $(1) --extra traces --format cyclonedx1.5 --preview-features sbom-export -o $(SBOM)/dibs-$(1).cdx.json >/dev/null

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## Make .venv ready (the others do it when needed)
	@./setup.sh

run: setup ## Run everything on this machine until Ctrl-C (ARGS="--port 9000 --executors 4")
	@exec $(bin)/dibs dev $(ARGS)

test: lint ## Check the code and run every test that this machine can run (ARGS="-k claim")
	@$(bin)/python -m pytest -n $(WORKERS) -m 'not compose and not chaos and not long' $(ARGS)

test-all: lint ## The same, docker-compose.yml, chaos and what takes minutes (DIBS_TEST_REQUIRE=all: nothing may be missing)
	@$(bin)/python -m pytest -n $(WORKERS) $(ARGS)

TESTS ?= tests/integration
VERSION ?= 15

test-pgbouncer: setup ## Run the integration tests with the service behind PgBouncer in transaction mode
	@DIBS_TEST_DATABASE=pgbouncer $(bin)/python -m pytest -n $(WORKERS) $(TESTS) $(ARGS)

test-postgres: setup ## Run the integration tests on Debian's PostgreSQL of another version (VERSION=15)
	@DIBS_TEST_DATABASE=$(VERSION) $(bin)/python -m pytest -n $(WORKERS) $(TESTS) $(ARGS)

test-api: setup ## Send many random requests of the OpenAPI document (DIBS_TEST_EXAMPLES=200)
	@DIBS_TEST_EXAMPLES=$${DIBS_TEST_EXAMPLES:-200} $(bin)/python -m pytest -n $(WORKERS) tests/contract/test_generated_requests.py $(ARGS)

# Named, for it takes seconds to read all modules in order to leave most of them out.
FAULTS ?= tests/chaos $(shell grep -rl --include='test_*.py' --exclude-dir=chaos mark.fault tests)

chaos: WORKERS = 4
chaos: setup ## Put it under every fault that this machine can cause: a table (ARGS="-k storm", FAULTS=tests/chaos/test_kills.py)
	@$(bin)/python -m pytest -n $(WORKERS) -m 'chaos or fault' $(FAULTS) $(ARGS)

chaos-long: setup ## The same as often as docs/reliability.md says: hours; writes chaos.json and its tables
	@DIBS_CHAOS=long DIBS_MODEL_EXAMPLES=20000 $(bin)/python -m pytest -n 0 -m 'chaos or fault' --chaos-report chaos.json $(FAULTS) $(ARGS)
	@$(bin)/python -m tests.chaos.page chaos.json
	@$(bin)/python -m tests.chaos.mutants

soak: setup ## Load with a kill now and then: memory, table sizes, p99 (MINUTES=60)
	@exec $(bin)/python -m tests.chaos.soak --minutes $(or $(MINUTES),60) $(ARGS)

model: setup ## Let Spin search every state of the protocol's models, and catch their mutants (ARGS="--only orphans --story")
	@exec $(bin)/python -m tests.model $(ARGS)

timing: setup ## Measure whether an unknown key id can be told from a wrong secret by time (some minutes)
	@$(bin)/python -m pytest -n 0 -s tests/contract/timing_of_credentials.py $(ARGS)

bench: setup ## Measure Dibs beside pgbench: a table of ratios, and bench.json (ARGS="--quick")
	@exec $(bin)/python -m tests.bench $(ARGS)

bench-peers: setup ## The same drain by PgQueuer and graphile-worker, installed for it by pip and npm
	@exec $(bin)/python -m tests.bench.peers $(ARGS)

bench-backlog: setup ## Measure claims on a full table, under an old snapshot, while pruning (ARGS="--scale 0.1")
	@exec $(bin)/python -m tests.bench.flat $(ARGS)

bench-pages: setup ## Measure the pages on a backlog, and what ten viewers cost the claims (ARGS="--repeats 1")
	@exec $(bin)/python -m tests.bench.pages $(ARGS)

mutants: setup ## Break one promise after the other, and require that the tests notice (ARGS="--only NAME")
	@exec $(bin)/python -m tests.chaos.mutants $(ARGS)

lint: setup ## Check style, types and the layers
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy
	@$(bin)/lint-imports

format: setup ## Bring the code into shape
	@$(bin)/ruff check --fix .
	@$(bin)/ruff format .

lock: setup ## Write uv.lock and what is exported from it (after a change in pyproject.toml)
	@$(bin)/uv lock --quiet
	@$(call exported,--all-extras) requirements.lock
	@$(call exported,--extra orchestrator --extra traces) requirements-orchestrator.lock
	@$(call exported,--extra executor --extra traces) requirements-executor.lock
	@$(call exported,--only-group build) requirements-build.lock

audit: setup ## Look up every locked package among the known vulnerabilities (ARGS=--lenient: if anybody answers)
	@.ci/audit $(ARGS)

sbom: setup ## Write CycloneDX lists of what each program consists of, with hashes, into dist/
	@mkdir -p $(SBOM)
	@$(call listed,orchestrator)
	@$(call listed,executor)

docs: setup ## Write docs/reference from the code, and all of docs/ as HTML into dist/docs
	@$(bin)/python -m docs._build $(ARGS)

screenshots: setup ## Take the README's pictures of a service at work (ARGS="--minutes 10")
	@$(bin)/python -m tests.browser.screenshots $(ARGS)

HTMX ?= 4.0.1
vendored := orchestrator/pages/static/htmx.min.js
vendor: ## Take htmx from its npm package into the pages' own files (HTMX=4.0.1)
	@dir=$$(mktemp -d) && npm pack --silent --pack-destination $$dir htmx.org@$(HTMX) >/dev/null \
	  && tar -xzf $$dir/htmx.org-$(HTMX).tgz -C $$dir && cp $$dir/package/dist/htmx.min.js $(vendored) \
	  && rm -r $$dir && sha256sum $(vendored)

clean: ## Remove .venv and the tools' caches (the data in .dibs stays)
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup run test lint format clean
bin := .venv/bin

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## Make .venv ready (the others do it when needed)
	@./setup.sh

run: setup ## Run everything on this machine until Ctrl-C (ARGS="--port 9000 --executors 4")
	@exec $(bin)/dibs dev $(ARGS)

test: lint ## Check the code and run every test that this machine can run (ARGS="-k claim")
	@$(bin)/python -m pytest $(ARGS)

lint: setup ## Check style, types and the layers
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy
	@$(bin)/lint-imports

format: setup ## Bring the code into shape
	@$(bin)/ruff check --fix .
	@$(bin)/ruff format .

clean: ## Remove .venv and the tools' caches (the data in .dibs stays)
	@rm -rf .venv .setup.log .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: check format test-fast test docs

check: ## lint, formatting, types
	python -m ruff check .
	python -m ruff format --check .
	python -m mypy

format: ## what `check` can repair by itself
	python -m ruff check --fix .
	python -m ruff format .

test-fast: ## the test files that are quick, under a minute on two cores
	python -m pytest -m "not slow"

test: ## everything
	python -m pytest

docs: ## the site, warnings as errors
	python -m mkdocs build --strict

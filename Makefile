.PHONY: check format test-fast test docs faults licences audit dist oldest

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

faults: ## plants the faults of scripts/faults.toml one at a time; each must turn a test red (an hour)
	python scripts/plant_faults.py

licences: ## of everything that an installation brings along
	python scripts/check_licences.py --extra starter,serve

audit: ## known vulnerabilities of what is installed; fails where the service cannot be asked about a package
	python -m pip_audit --strict --skip-editable

dist: ## wheel and sdist, the same bytes for the same commit wherever they are built
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) python -m build

oldest: ## the quick tests with the lowest versions that pyproject.toml allows (requires uv)
	uv venv --clear .venv-oldest
	uv pip compile --resolution lowest-direct --extra starter pyproject.toml -o .venv-oldest/versions.txt
	uv pip install --python .venv-oldest -r .venv-oldest/versions.txt
	uv pip install --python .venv-oldest -c .venv-oldest/versions.txt pytest pytest-xdist beartype hypothesis httpx2 openpyxl pandas
	uv pip install --python .venv-oldest --no-deps -e .
	.venv-oldest/bin/python -m pytest -m "not slow"

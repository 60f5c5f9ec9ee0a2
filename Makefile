# Everything lives in .venv; a machine needs Python 3.11 and make, nothing else.
PYTHON ?= python3.11
BIN = .venv/bin
# A test that crashes its process ends the run in red: pytest-xdist 3.8 waits for ever once it has replaced a worker.
TWO = -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart=0

LOSSES = minimax,non_saturating,least_squares,hinge,wasserstein,relativistic_paired,relativistic_average

.PHONY: demo test test-all losses results notebooks format clean

demo: .venv/ready
	$(BIN)/python experiments/normal_1d.py

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(BIN)/python -m pytest $(TWO)

test-all: test
	$(BIN)/python -m pytest $(TWO) -m long
	$(BIN)/python -m pytest -m cluster

losses: .venv/ready
	$(BIN)/python experiments/compare.py normal_1d mixture_2d --vary loss=$(LOSSES) --seeds 32 --steps 8000 \
		--eval-every 1000 --eval-samples 10000

results: .venv/ready
	$(BIN)/python benchmarks/pages.py

notebooks: .venv/ready
	$(BIN)/python notebooks/execute.py

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/ready: requirements.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	touch $@

clean:
	rm -rf .venv

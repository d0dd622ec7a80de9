# Everything runs in its own .venv, made from pyproject.toml and constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
# Workers share the cores: OpenMP threads of each would wait for those of the others, spinning.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal
TYPED := .venv/typed
ROOMS := cli evaluation index learn retrieval service simulate store

.PHONY: setup demo serve-demo test test-all lint format bench clean

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint constraints.txt
	touch $@

demo: .venv/ready
	$(BIN)/gliodex demo --out demo-output

serve-demo: .venv/ready
	$(BIN)/gliodex build demo-output/store --count 1000
	$(BIN)/gliodex serve demo-output/store --folder demo-output/service

test: .venv/ready
	$(PYTEST)

test-all: .venv/ready
	$(PYTEST) -m ''

# The root folder is the package, whatever a clone is called: mypy finds it through a link of its name.
lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p $(TYPED) && ln -sfn ../.. $(TYPED)/gliodex
	cd $(TYPED) && MYPYPATH=. ../bin/mypy --config-file gliodex/pyproject.toml -m gliodex $(ROOMS:%=-p gliodex.%)

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/ready
	$(BIN)/python benchmarks/run.py $(STORE) $(PATIENTS)

clean:
	rm -rf .venv demo-output

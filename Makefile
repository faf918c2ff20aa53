# Two commands for every user (report, test), and those for developers.
.DEFAULT_GOAL := help
.PHONY: help setup home latex report page test unit gpu-smoke stress check docs bench lint format clean
PYTHON ?= python3
CORES ?= all
BIN := .venv/bin
# A user's settings that would install elsewhere than into .venv, or hide what is in it.
PIP = env -u PIP_TARGET -u PIP_PREFIX -u PIP_ROOT PIP_USER=0 $(BIN)/python -m pip
unexport PYTHONPATH PYTHONHOME

help:
	@echo "make report   set up, then every table and figure and results/quick/report.pdf"
	@echo "make page     the same as one HTML file to look at and to mail: results/quick/page.html"
	@echo "make unit     set up, then the quick tests, in about two minutes: run it after every change"
	@echo "make test     set up, then all tests"
	@echo "make gpu-smoke  whether a GPU trains as it should; needs torch, numpy, safetensors, pandas, and sets nothing up"
	@echo "make stress   kills, full disks, damaged files: half an hour of them, counted"
	@echo "make check    compare fresh records with the stored ones"
	@echo "make docs     the pages of docs/ as a site: site/index.html"
	@echo "make bench    training speed against a plain loop, on an idle machine"
	@echo "make lint     every check of style and types;  make format  fixes what it can"

setup: home .venv/installed

home: # Snakemake keeps a cache there
	@test -w "$$HOME" -o -w "$$XDG_CACHE_HOME" || { echo "error: HOME is \"$$HOME\", which cannot be written: export HOME=/tmp"; exit 1; }

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "error: Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: Python's venv module is missing: sudo apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -c 'import os, sys; bad = sorted({*"\"$$`\\:{}\t\n"} & {*os.getcwd()}); sys.exit(f"error: the path of this folder has {bad[0]!r}, which its scripts cannot have: move the project, then call make again" if bad else 0)'
	$(PYTHON) -m venv .venv
	$(PIP) install --quiet --disable-pip-version-check --requirement requirements.lock
	$(PIP) install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# As root, install LaTeX; otherwise print the install command.
TEX := texlive-latex-base texlive-latex-recommended texlive-pictures latexmk lmodern
latex:
	@command -v latexmk >/dev/null && command -v pdflatex >/dev/null || \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $(TEX); \
	else \
	  echo "LaTeX is missing. Install it with: sudo apt-get install --no-install-recommends $(TEX)"; \
	fi

report: setup latex
	$(BIN)/snakemake --cores $(CORES) report

page: setup latex
	$(BIN)/snakemake --cores $(CORES) page --report results/quick/page.html --report-after-run

test: setup latex
	$(BIN)/python -m pytest -n auto --dist loadfile

unit: setup
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow" tests/unit

gpu-smoke: # from a checkout alone, with .venv if it is there
	PYTHONPATH=src $(firstword $(wildcard $(BIN)/python) $(PYTHON)) tests/gpu_smoke.py

stress: setup latex
	$(BIN)/python tests/stress.py

check: setup
	$(BIN)/snakemake --cores $(CORES) check

docs: setup
	$(BIN)/filter-sparsity reference --out docs/reference.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: setup
	$(BIN)/python benchmarks/training.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/lint-imports
	$(BIN)/snakemake --lint
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

clean: # delete everything made, but not the environment
	rm -rf results .snakemake

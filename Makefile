# demur: what a person types. The work is done by scripts/; each says what it is doing.
#
#   PORT=8001 make serve          another port
#   PYTHON=python3.12 make serve  another interpreter (for a new .venv)

PORT ?= 8000
PYTHON ?=
export PORT PYTHON

.PHONY: help setup serve test nightly check bench docs clean

help:
	@echo "make serve   start demur before a sample site: http://localhost:$(PORT)"
	@echo "make setup   only make .venv, with the command .venv/bin/demur"
	@echo "make check   what a developer needs all day: form, types, direction, fast tests"
	@echo "make test    everything: installs what tests need, then runs all of them"
	@echo "make nightly what takes too long for make test, such as a million paths, each judged by a model, too"
	@echo "make bench   what guarding a request costs and what an attack costs others, measured here"
	@echo "make docs    write the generated pages anew and check every link"
	@echo "make clean   remove .venv, caches and the sample's state"

setup:
	@scripts/setup serve
	@echo "demur: ready: .venv/bin/demur --help"

serve:
	@scripts/setup serve
	@exec .venv/bin/python examples/sample/serve.py --port $(PORT)

check:
	@scripts/setup test
	@scripts/check

test:
	@scripts/apt-needs
	@scripts/setup test
	@scripts/test

nightly:
	@scripts/setup test
	@scripts/nightly

bench:
	@scripts/setup test
	@.venv/bin/python benchmarks/report.py
	@.venv/bin/python benchmarks/readings.py
	@.venv/bin/python benchmarks/signin_timing.py
	@.venv/bin/python benchmarks/concealment.py
	@.venv/bin/python benchmarks/exhaustion.py

docs:
	@scripts/setup test
	@[ ! -d client/node_modules ] || node client/size.mjs --write
	@.venv/bin/python scripts/docs.py

clean:
	rm -rf .venv .demur .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

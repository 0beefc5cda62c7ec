# Sets up environments under .venv/ and runs the demo, the tests and the checks in them; `make help` lists all.
#
# An environment is made anew when pyproject.toml or its constraints change. Two stamps, because the demo needs less than the
# tests: .servers has the provider, Airflow and the Milvus servers, .test what the tests and checks use as well.

PYTHON  ?= python3
AIRFLOW ?= 3.3
MILVUS  ?= lite
ARGS    ?=

# Some at a time, file by file, each with servers of its own: most of a test's time is waiting, but a whole Airflow needs a core.
# Tests hold calls to their timeout plus two seconds, which a machine that is busy with something else can miss: what was too
# slow, and only that, is run once more.
pytest := -m pytest --dist loadfile --no-loadscope-reorder --reruns 1 --only-rerun TooSlowError

main   := .venv/airflow-3.3
lowest := .venv/airflow-lowest
chosen := .venv/airflow-$(AIRFLOW)

ifeq ($(wildcard constraints/airflow-$(AIRFLOW).txt),)
$(error AIRFLOW=$(AIRFLOW) is not tested; there are: $(patsubst constraints/airflow-%.txt,%,$(wildcard constraints/airflow-*.txt)))
endif

# The newest Python 3 that each Airflow runs on.
newest-2.11 := 12
newest-3.1  := 13
newest-3.3  := 14
newest-lowest := 12
wrong_python = $(PYTHON) is Python %d.%d; Airflow $* needs 3.11 to 3.$(newest-$*). Name another: make PYTHON=python3.12

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PRECIOUS: .venv/airflow-%/.made .venv/airflow-%/.servers
.PHONY: help demo ui docs test browser contract roles meanwhile faults access kills rounds test-all test-cluster bench bench-check lowest wheel lint clean

help:
	@echo "make demo                    tonight's memory reclaim, through Airflow, on Milvus Lite"
	@echo "make demo MILVUS=standalone  the same on the real Milvus server (x86-64 Linux and macOS)"
	@echo "make ui                      Airflow's own pages, with the example DAGs, a Milvus and a month of history; Ctrl-C ends it all"
	@echo "make ui MILVUS=standalone ARGS='--port 8081 --dags DIR'      on the real server, at another port, with DAGs of yours"
	@echo "make docs                    the documentation as a site, in build/site; a warning is an error"
	@echo "make test                    the tests, on Airflow 3.3, without a whole Airflow and what else is slow"
	@echo "make test AIRFLOW=2.11       those that apply to the oldest Airflow"
	@echo "make test ARGS='-k release'  some tests; ARGS goes to pytest"
	@echo "make test MILVUS_URI=http://localhost:19530      those that ask for a Milvus, on a server of yours"
	@echo "make browser                 Airflow's own pages in Chromium, as an admin and as a viewer; three minutes"
	@echo "make browser AIRFLOW=3.1     the same on Airflow 3.1"
	@echo "make browser MILVUS=standalone ARGS=--pictures   on the real server, and write the pictures of docs/"
	@echo "make contract                what the provider relies on, asked of all servers that can be started here"
	@echo "make contract MILVUS_URI=…   the same of a server of yours, in a database that is made for it and dropped"
	@echo "make roles                   each task with the privileges that it needs, and without one, on Milvus 2.3.5; five minutes"
	@echo "make meanwhile               somebody else acts at every moment of every task, on every stand-in; an hour"
	@echo "make faults                  each task with a fault on the way to the server, call by call, on both servers; half an hour"
	@echo "make faults ARGS=--write     the same, and write what became of each into docs/faults.md"
	@echo "make access                  each task over every way to be let in or turned away, and with secrets everywhere; ten minutes"
	@echo "make kills                   each task is killed at every call that changes something, and tried again; half an hour"
	@echo "make rounds                  200 rounds of each pair of tasks that begin at the same moment; half an hour"
	@echo "make test-cluster            Airflow as a cluster with Celery, of which parts are killed; a quarter of an hour. It needs"
	@echo "                             Debian's packages postgresql and redis-server"
	@echo "make test-cluster ARGS=--short   smaller, in six minutes"
	@echo "make test-all                all tests"
	@echo "make bench                   what it costs, beside what one would use instead, into docs/costs.md; a quarter of an hour"
	@echo "make bench-check             what costs a fifth more CPU, memory or calls than docs/costs.md says"
	@echo "make wheel                   build the wheel, install it with the lowest versions of what it needs, and run README's DAG"
	@echo "make lowest                  some tests, with these lowest versions"
	@echo "make lint                    ruff, mypy and import-linter"
	@echo "make clean                   remove the environments and caches"
	@echo
	@echo "PYTHON names the Python to use (3.11 or later), for example make test PYTHON=python3.12"

demo: $(main)/.servers
	@$(main)/bin/python -m dev.demo $(MILVUS)

ui: $(main)/.servers
	@$(main)/bin/python -m dev.ui $(MILVUS) $(ARGS)

docs: $(main)/.test
	@$(main)/bin/python -m dev.site

test: $(chosen)/.test
	@$(chosen)/bin/python $(pytest) $(if $(MILVUS_URI),tests/integration -k outside,-n 4 -m 'not slow and not airflow and not long') $(ARGS)

browser: $(chosen)/.test
	@$(chosen)/bin/python $(pytest) tests/system/test_ui.py tests/integration/page/test_in_browser.py --ui $(MILVUS) $(ARGS)

contract: $(main)/.test
	@$(if $(MILVUS_URI),$(main)/bin/milvus-airflow contract --write --uri $(MILVUS_URI),$(main)/bin/python -m dev.contract)

# Most tests wait most of the time; those with a whole Airflow need the cores. With ARGS one of the two may have none (5).
test-all: $(chosen)/.test
	@$(chosen)/bin/python $(pytest) -n 4 -m 'not slow and not airflow and not long' $(ARGS) || [ $$? -eq 5 ]
	@$(chosen)/bin/python $(pytest) -n 3 -m '(slow or airflow) and not long' $(ARGS) || [ $$? -eq 5 ]

# Five minutes: each task has a Milvus 2.3.5 of its own.
roles: $(chosen)/.test
	@$(chosen)/bin/python $(pytest) tests/integration/roles -m long $(ARGS)

# The tests play a third of it.
meanwhile: $(main)/.test
	@$(main)/bin/python -m dev.meanwhile --every $(ARGS)

# Most of it is waiting for timeouts.
faults: $(chosen)/.test
	@$(chosen)/bin/python -m dev.faults $(ARGS)

access: $(chosen)/.test
	@$(chosen)/bin/python $(pytest) -n 2 tests/faults/test_access.py tests/faults/test_canaries.py -m 'slow or long' $(ARGS)

# The tests play some of them, on Lite.
kills: $(main)/.test
	@$(main)/bin/python -m dev.kills $(ARGS)

rounds: $(main)/.test
	@$(main)/bin/python -m dev.rounds $(ARGS)

bench: $(main)/.test
	@$(main)/bin/python -m benchmarks $(ARGS)

bench-check: $(main)/.test
	@$(main)/bin/python -m benchmarks --check $(ARGS)

test-cluster: $(main)/.cluster
	@$(main)/bin/python -m dev.cluster $(ARGS)

# What a too low floor breaks first: imports, the connection's form, reading and encoding rows, reports, and one collection that is
# released on a real server.
lowest: $(lowest)/.test
	@$(lowest)/bin/python $(pytest) -n 4 tests/unit/test_doors.py tests/unit/test_provider_info.py \
		tests/unit/client tests/unit/conditions tests/unit/metrics tests/unit/reclaim tests/unit/rows tests/unit/schema \
		tests/integration/server/test_release.py -m 'not standalone' --newest $(ARGS)

wheel: $(lowest)/.servers
	@$(lowest)/bin/python tests/docs/quick_start.py

lint: $(main)/.test
	$(main)/bin/ruff check .
	$(main)/bin/ruff format --check .
	$(main)/bin/mypy
	$(main)/bin/lint-imports --no-cache

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

.venv/airflow-%/.made: constraints/airflow-%.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, $(newest-$*)) or sys.exit("$(wrong_python)" % v)'
	@echo "Making $(@D)"
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install -q --disable-pip-version-check -U pip -c $<
	@touch $@

.venv/airflow-%/.servers: .venv/airflow-%/.made
	@echo "Installing Airflow $*, the provider and the Milvus servers into $(@D) (a minute or two)"
	@$(@D)/bin/python -m pip install -q -e . --group servers -c constraints/airflow-$*.txt --build-constraint constraints/airflow-$*.txt
	@touch $@

# Here the package is its wheel, and what it needs has the lowest versions that pyproject.toml allows.
$(lowest)/.servers: $(lowest)/.made $(main)/.test $(shell find airflow_provider_milvus -name '*.py*' -not -path '*/__pycache__/*')
	@echo "Installing the wheel into $(@D) (a minute or two)"
	@rm -rf dist
	@$(main)/bin/python -m build --no-isolation > /dev/null
	@$(main)/bin/python -m twine check --strict $(CURDIR)/dist/*
	@$(@D)/bin/python -m pip install -q "$$(ls $(CURDIR)/dist/*.whl)[lite]" -c constraints/airflow-lowest.txt
	@$(@D)/bin/python -m pip install -q --no-deps --force-reinstall $(CURDIR)/dist/*.whl
	@touch $@

.venv/airflow-%/.test: .venv/airflow-%/.servers
	@echo "Installing what the tests need into $(@D)"
	@$(@D)/bin/python -m pip install -q --group test $(if $(filter $(main),$(@D)),--group lint --group docs --group release) -c constraints/airflow-$*.txt
	@$(if $(filter $(main),$(@D)),$(@D)/bin/python -m pip install -q --no-deps --group embedding -c constraints/airflow-$*.txt)
	@touch $@

$(main)/.cluster: $(main)/.test
	@echo "Installing what the cluster needs into $(@D)"
	@$(@D)/bin/python -m pip install -q --group cluster -c constraints/airflow-3.3.txt
	@touch $@

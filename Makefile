# Sets up environments under .venv/ and runs the demo, the tests and the checks in them; `make help` lists all.
#
# An environment is made anew when pyproject.toml or its constraints change. Two stamps, because the demo needs less than the
# tests: .servers has the provider, Airflow and the Milvus servers, .test what the tests and checks use as well.

PYTHON  ?= python3
AIRFLOW ?= 3.3
MILVUS  ?= lite
ARGS    ?=

main   := .venv/airflow-3.3
chosen := .venv/airflow-$(AIRFLOW)

ifeq ($(wildcard constraints/airflow-$(AIRFLOW).txt),)
$(error AIRFLOW=$(AIRFLOW) is not tested; there are: $(patsubst constraints/airflow-%.txt,%,$(wildcard constraints/airflow-*.txt)))
endif

# The newest Python 3 that each Airflow runs on.
newest-2.11 := 12
newest-3.3  := 14
wrong_python = $(PYTHON) is Python %d.%d; Airflow $* needs 3.11 to 3.$(newest-$*). Name another: make PYTHON=python3.12

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PRECIOUS: .venv/airflow-%/.made .venv/airflow-%/.servers
.PHONY: help demo test lint clean

help:
	@echo "make demo                    tonight's memory reclaim, through Airflow, on Milvus Lite"
	@echo "make demo MILVUS=standalone  the same on the real Milvus server (x86-64 Linux and macOS)"
	@echo "make test                    all tests, on Airflow 3.3"
	@echo "make test AIRFLOW=2.11       the tests that apply to the oldest Airflow"
	@echo "make test ARGS='-k release'  some tests; ARGS goes to pytest"
	@echo "make lint                    ruff and mypy"
	@echo "make clean                   remove the environments and caches"
	@echo
	@echo "PYTHON names the Python to use (3.11 or later), for example make test PYTHON=python3.12"

demo: $(main)/.servers
	@$(main)/bin/python -m dev.demo $(MILVUS)

test: $(chosen)/.test
	@$(chosen)/bin/python -m pytest $(ARGS)

lint: $(main)/.test
	$(main)/bin/ruff check .
	$(main)/bin/ruff format --check .
	$(main)/bin/mypy

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis dist

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

.venv/airflow-%/.test: .venv/airflow-%/.servers
	@echo "Installing what the tests need into $(@D)"
	@$(@D)/bin/python -m pip install -q --group test -c constraints/airflow-$*.txt
	@$(if $(filter $(main),$(@D)),$(@D)/bin/python -m pip install -q --no-deps --group embedding -c constraints/airflow-$*.txt)
	@touch $@

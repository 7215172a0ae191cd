# SPDX-License-Identifier: Apache-2.0
# `make demo` and `make test` do all their own set-up: they need Python 3.11 or newer, make, and the
# package registries. Everything they install stays in the .venv* folders here.

PYTHON ?= python3
PIP_FLAGS = -qq --disable-pip-version-check --no-input
export PIP_ROOT_USER_ACTION = ignore

# What a wheel is made of: the development environment is installed again when one of these changes.
WHEEL_SOURCES := $(shell find voiceauth models proto -type f \
	-not -path '*/__pycache__/*' -not -path 'voiceauth/v1/*') pyproject.toml README.md LICENSE NOTICE

# Tests must meet the installed wheel, never the checkout's folder of the same name.
ISOLATED = PYTHONSAFEPATH=1

.DEFAULT_GOAL := help
.PHONY: help demo test test-hsm cover mutants test-train lint types types-train docs proto image clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 14

demo: .venv/.installed  ## watch ten real callers being enrolled and verified (under 90 s)
	@.venv/bin/voiceauth demo $(ARGS)

# Three at a time: most tests wait. One seed for hashes, or the processes would order the cases that
# come from sets differently.
test: .venv-test/.installed  ## install the wheel from scratch and run the tests
	@.venv-test/bin/python -P -c 'import sys, voiceauth; print("testing", voiceauth.__file__); \
		sys.exit("site-packages" not in voiceauth.__file__)'
	@echo "tests/training and tests/hsm are run by: make test-train, make test-hsm"
	PYTHONHASHSEED=0 $(ISOLATED) .venv-test/bin/pytest -rs -n 3 --dist loadfile \
		--ignore=tests/training --ignore=tests/hsm $(ARGS)

test-hsm: .venv-test/.hsm  ## the key service on a real PKCS#11 token; needs softhsm2
	$(ISOLATED) .venv-test/bin/pytest -rs tests/hsm $(ARGS)

# The rooms in which a gap could cost most, each by its own tests alone; the key service by its own.
STRICT = access alerts consent keys ledger decision factors
cover: .venv-test/.hsm  ## branch coverage of access, alerts, consent, keys, ledger, decision and factors; needs softhsm2
	@for room in $(STRICT); do \
		own=tests/unit/$$room; test $$room != keys || own="$$own tests/hsm"; \
		$(ISOLATED) .venv-test/bin/pytest $$own --cov=voiceauth.$$room --cov-branch \
			--cov-report=term-missing:skip-covered --cov-fail-under=100 || exit 1; \
	done

# Their own unit tests alone, in one process after the other: an hour on one free core.
mutants: .venv/.tools  ## faults put into decision and access, one at a time: does a test find each?
	.venv/bin/python benchmarks/mutants.py decision access $(ARGS)

test-train: .venv-train/.installed  ## the same with the train extra, for the training room
	$(ISOLATED) .venv-train/bin/pytest -rs tests/training $(ARGS)

lint: .venv/.tools  ## ruff, both as linter and as formatter
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: .venv/.tools  ## mypy --strict on everything that runs without torch
	.venv/bin/mypy --exclude '^(voiceauth/v1|voiceauth/training|tests/training)/' voiceauth tests benchmarks

types-train: .venv-train/.installed  ## mypy --strict on the training room
	.venv-train/bin/mypy voiceauth/training tests/training

docs: .venv/.installed  ## write docs/configuration.md from the settings
	.venv/bin/voiceauth config docs > docs/configuration.md

proto: .venv/.tools  ## generate voiceauth/v1 in the checkout, as the build does
	.venv/bin/python proto/build_hook.py

image:  ## build the container image
	docker build -t voiceauth .

clean:  ## remove the environments and caches
	rm -rf .venv .venv-test .venv-train .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/.installed: $(WHEEL_SOURCES)
	@echo "setting up .venv (first time: a minute or two)"
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install $(PIP_FLAGS) .
	@touch $@

# What developers need besides; a demo does not wait for it.
.venv/.tools: .venv/.installed
	@.venv/bin/python -m pip install $(PIP_FLAGS) '.[dev]'
	@touch $@

.PHONY: .venv-test/.installed .venv-train/.installed
.venv-test/.installed:
	@echo "setting up .venv-test from scratch (a minute or two)"
	@rm -rf .venv-test
	@$(PYTHON) -m venv .venv-test
	@.venv-test/bin/python -m pip install $(PIP_FLAGS) '.[dev]'

# In the environment that `make test` made, or in one of its own.
.PHONY: .venv-test/.hsm
.venv-test/.hsm:
	@command -v softhsm2-util >/dev/null || { echo "softhsm2 is not installed" >&2; exit 1; }
	@test -x .venv-test/bin/python || $(PYTHON) -m venv .venv-test
	@.venv-test/bin/python -m pip install $(PIP_FLAGS) '.[dev,hsm]'

# torch first, and torchaudio without its dependencies: its own GPU libraries then go, because they
# cannot be loaded beside a torch that was built for the processor only, and nothing here needs them.
.venv-train/.installed:
	@echo "setting up .venv-train from scratch (some minutes: torch)"
	@rm -rf .venv-train
	@$(PYTHON) -m venv .venv-train
	@.venv-train/bin/python -m pip install $(PIP_FLAGS) $(TORCH_FLAGS) torch==2.13.0
	@.venv-train/bin/python -m pip install $(PIP_FLAGS) $(TORCH_FLAGS) --no-deps torchaudio==2.11.0
	@.venv-train/bin/python -m pip install $(PIP_FLAGS) '.[dev,train]'
	@.venv-train/bin/python -c 'import torch, sys; sys.exit(torch.version.cuda is not None)' && \
		rm -f .venv-train/lib/python3*/site-packages/torchaudio/lib/*.so || true

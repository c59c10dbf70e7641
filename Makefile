# Every command a person needs. The work is in packaging/bootstrap/make.py, which runs without make too.
# GPU=auto|cpu|cuda|vulkan|metal  how llama.cpp is built      ARGS="..."  passed to the program that a target starts

PYTHON ?= python3
GPU ?= auto
ARGS ?=
DO = $(PYTHON) packaging/bootstrap/make.py --gpu $(GPU)

.DEFAULT_GOAL := help
.PHONY: help run setup test lint fix screenshots benchmark lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Set everything up and open the window (ARGS="doctor" runs a command instead)
	@$(DO) run $(ARGS)

setup: ## Set everything up, for working on the code, and start nothing
	@$(DO) setup

test: ## Set everything up, check the code and run all tests
	@$(DO) test

lint: ## Check style, types and the import contracts
	@$(DO) lint

fix: ## Let ruff repair and format the code
	@$(DO) fix

screenshots: ## Take docs/screenshots from the running program
	@$(DO) screenshots $(ARGS)

benchmark: ## Measure the decode loop beside llama-cpp-python's own (ARGS="--save FILE")
	@$(DO) benchmark $(ARGS)

lock: ## Bring uv.lock in line with pyproject.toml
	@$(DO) lock $(ARGS)

clean: ## Remove what was set up here (llama.cpp builds are kept outside and stay)
	@$(DO) clean

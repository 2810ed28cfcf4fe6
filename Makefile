# Two commands for a newcomer: `make demo` and `make test`. Each sets itself up; a second run skips what is done.
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check long soak setup setup-dev clean

demo: setup
	$(BIN)/tessera demo $(ARGS)

test: setup-dev check
	$(BIN)/pytest -n 2 --dist loadfile -m "not soak" $(ARGS)

check: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

long: setup-dev
	$(BIN)/pytest -m long $(ARGS)

soak: setup-dev
	$(BIN)/pytest -m soak $(ARGS)

setup:
	@tools/setup demo

setup-dev:
	@tools/setup dev

clean:
	rm -rf $(VENV) run models/weights/built

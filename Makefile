# Two commands for a newcomer: `make demo` and `make test`. Each sets itself up; a second run skips what is done.
VENV := .venv
BIN := $(VENV)/bin
TFLITE_TESTS := tests/npu $(addprefix tests/vision/test_,known_answers.py align.py detect.py match.py)

.PHONY: demo test test-tflite check long soak fuzz vectors oracle evidence-recognition evidence-liveness evidence-dynamic setup setup-dev clean

demo: setup
	$(BIN)/tessera demo $(ARGS)

test: setup-dev check
	$(BIN)/pytest -n 2 --dist loadfile -m "not soak" $(ARGS)
	@$(MAKE) --no-print-directory test-tflite
	@$(MAKE) --no-print-directory oracle

# the networks and vision again where a board has tflite-runtime, numpy 1 and an older OpenCV
test-tflite: setup-dev
	tools/tflite-env python -m pytest -q $(TFLITE_TESTS)

check: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

long: setup-dev
	$(BIN)/pytest -m long $(ARGS)

soak: setup-dev
	$(BIN)/pytest -m soak $(ARGS)

# a million hostile inputs and more into every decoder; what crashes one is kept in tests/corpus
fuzz: setup-dev
	OMP_NUM_THREADS=1 nice -n 10 $(BIN)/pytest -q -m soak tests/fuzz $(ARGS)

# the test vectors of docs/protocol.md, from published test keys: the same bytes each time
vectors: setup-dev
	$(BIN)/python -m hil.backend.vectors docs/protocol-vectors.json

# the test vectors, judged by other people's code in an environment of its own, and by node where it is installed
oracle:
	tools/oracle-env python tests/oracle/vectors_by_cwt.py
	@if command -v node >/dev/null; then node tests/oracle/vectors_by_node.mjs; else echo "node is not installed: left out"; fi

# the error rates of docs/recognition-evidence.md; hours from nothing, a minute for a new network; goes on where it stopped
evidence-recognition: setup-dev
	nice -n 10 $(BIN)/python -m hil.evaluate.evidence $(ARGS)

# what liveness stops and whom it turns away, docs/liveness-evidence.md; hours from nothing; `ARGS=--sample --out FILE` is small
evidence-liveness: setup-dev
	OMP_NUM_THREADS=1 nice -n 10 $(BIN)/python -m hil.evaluate.liveness_evidence $(ARGS)

# what motion and the challenge stop and whom they turn away, docs/dynamic-evidence.md; hours from nothing
evidence-dynamic: setup-dev
	OMP_NUM_THREADS=1 nice -n 10 $(BIN)/python -m hil.evaluate.dynamic_evidence $(ARGS)

setup:
	@tools/setup demo

setup-dev:
	@tools/setup dev

clean:
	rm -rf $(VENV) .venv-tflite .venv-oracle .venv-train run models/weights/built

# Two commands on a fresh machine: `make demo` and `make test`. `make help` lists all.
PYTHON ?= python3
PROMPT ?= a red circle left of a blue square on a yellow background
# Errors in the presets only: compilers of users, and -O3 with GCC 12, warn about more.
WARNINGS_AS_ERRORS ?= OFF
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
BUILD := build/package
NATIVE_SOURCES := $(shell find cpp cmake -type f) CMakeLists.txt
INSTALL := python -m pip install --quiet --no-build-isolation --config-settings \
  build-dir=$(BUILD) --config-settings \
  cmake.define.CMAKE_COMPILE_WARNING_AS_ERROR=$(WARNINGS_AS_ERRORS)
PYTHON_SOURCES := $(shell find python -name '*.py' -o -name '*.pyi')
CPP_FILES := $(shell find cpp tests/cpp -name '*.cpp' -o -name '*.h')

export CMAKE_BUILD_PARALLEL_LEVEL := $(JOBS)
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help demo test asan bench soak lint format clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    set everything up and render PROMPT with the built-in model into out.png"
	@echo "make test    set everything up and run the C++ tests (CTest) and the Python tests (pytest)"
	@echo "make asan    run the C++ tests under the address and undefined-behaviour sanitizers"
	@echo "make soak    run the tests that take long; figures go to bench/results/soak.json"
	@echo "make bench   run the benchmarks against diffusers; JSON goes to bench/results/"
	@echo "make lint    check formatting, lint and types;  make format  rewrites the files"
	@echo "make clean   remove builds, caches and the virtual environment"

demo: $(STAMPS)/package
	@sdrbee generate "$(PROMPT)" --seed 7 -o out.png
	@echo "\"$(PROMPT)\" is in $(CURDIR)/out.png"

# Both suites run to their closing line, also when the first one fails. Tiny models keep one core
# busy: the tests share the cores by processes, not by threads.
test: $(STAMPS)/tests
	@ctest --test-dir $(BUILD) --output-on-failure --parallel $(JOBS); ctest_status=$$?; \
	OMP_NUM_THREADS=1 python -m pytest --numprocesses $(JOBS) --dist worksteal; \
	pytest_status=$$?; \
	test $$ctest_status -eq 0 -a $$pytest_status -eq 0

asan: $(STAMPS)/python
	cmake --preset asan -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python
	cmake --build --preset asan
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
	  ctest --preset asan

bench: $(STAMPS)/test-tools
	@python -m bench --out bench/results

soak: $(STAMPS)/test-tools
	@python -m tests.soak

lint: $(STAMPS)/package $(STAMPS)/lint-tools
	clang-format --dry-run -Werror $(CPP_FILES)
	ruff check .
	ruff format --check .
	mypy

format: $(STAMPS)/lint-tools
	clang-format -i $(CPP_FILES)
	ruff check --fix-only .
	ruff format .

clean:
	rm -rf $(VENV) build build-* out.png .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The set-up, step by step. A stamp is newer than all that its step was made from, so that a second
# run does nothing.
$(STAMPS)/python: scripts/system_packages.sh scripts/virtual_environment.sh pyproject.toml
	@PYTHON="$(PYTHON)" scripts/system_packages.sh
	@PYTHON="$(PYTHON)" scripts/virtual_environment.sh $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/package: $(STAMPS)/python $(NATIVE_SOURCES) $(PYTHON_SOURCES) pyproject.toml
	@echo "== building and installing sdrbee into $(VENV)"
	@$(INSTALL) --editable .
	@touch $@

$(STAMPS)/test-tools: $(STAMPS)/package
	@echo "== installing what the tests need"
	@PYTHON="$(PYTHON)" scripts/system_packages.sh tests
	@$(INSTALL) --editable ".[test]"
	@touch $@

# Without npm's registry the tests of these packages are skipped, and say so.
$(STAMPS)/node-packages: tests/node/package-lock.json $(STAMPS)/test-tools
	@echo "== installing npm packages for the tests into build/node"
	@mkdir -p build/node && cp tests/node/package.json tests/node/package-lock.json build/node
	@npm ci --prefix build/node --ignore-scripts --no-audit --no-fund --silent && touch $@ || \
	  echo "warning: npm could not install them; their tests will be skipped" >&2

$(STAMPS)/lint-tools: pyproject.toml $(STAMPS)/python
	@python -m pip install --quiet $$(python scripts/extra_requirements.py dev)
	@touch $@

$(STAMPS)/tests: $(STAMPS)/test-tools $(STAMPS)/node-packages $(shell find tests/cpp -type f)
	@echo "== building the C++ tests"
	@cmake $(BUILD) -DSDRBEE_TESTS=ON >$(BUILD)/configure.log || (cat $(BUILD)/configure.log; false)
	@cmake --build $(BUILD) --target sdrbee_tests
	@touch $@

# SPDX-License-Identifier: Apache-2.0
# The few commands a person needs; CMake does the work (CMakePresets.json has the builds).
# JOBS=n limits how much is compiled and tested at once.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
MAKEFLAGS += --no-print-directory

CPUS := $(shell nproc)
JOBS ?= $(CPUS)
TEST_JOBS ?= 2
FUZZ_SECONDS ?= 60
BUILD := build/release
# Checkouts of one machine share what the compiler cache holds.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1
CTEST := ctest --output-on-failure --no-tests=error --timeout 300 -j$(TEST_JOBS)
# One program of unit tests for each folder of src/ that has any, and one for testing/.
UNIT_TESTS := testing_test $(sort $(foreach f,$(wildcard src/*/*_test.cc),$(notdir $(patsubst %/,%,$(dir $f)))_test))
PLANTED_TESTS := sim_test $(filter-out testing_test base_test cli_test etcd_test rpc_test tls_test web_test env_test,$(UNIT_TESTS))
CXX_FILES = $(shell git ls-files -- 'src/*.cc' 'src/*.h' 'apps/*.cc' 'testing/*.cc' 'testing/*.h' 'tests/*.cc' 'tests/*.h' 'bench/*.cc' 'bench/*.h' 'examples/*.cc')

.PHONY: build deb planted soak test demo bench format tidy asan tsan clang fuzz clean help deps configure

build: configure  ## build the daemon, the command and the tests (installs what is missing)
	@cmake --build $(BUILD) -j$(JOBS)

# Tests of time run beside others on few cores. What failed runs once more, alone; its first failure
# stays in the output, and is a bug to look into (CONTRIBUTING.md).
test: build  ## build, then run all tests
	@$(CTEST) --test-dir $(BUILD) || { \
	  echo "== failed beside other tests, once more alone:"; \
	  cat $(BUILD)/Testing/Temporary/LastTestsFailed*.log; \
	  $(CTEST) --test-dir $(BUILD) --rerun-failed -j1; }

demo: build  ## build, then show a group at work (under a minute)
	@tools/demo

deb: build  ## build, then make Debian packages in build/deb
	@packaging/build-deb $(BUILD) build/deb

bench: build  ## build, then measure
	@for program in $(BUILD)/bench/*_bench; do echo "== $$program"; "$$program"; done

deps:  ## install the Debian packages that are missing
	@tools/install-deps

configure: deps
	@cmake --preset release --log-level=NOTICE

format:  ## lay out all C++ files with clang-format
	@tools/install-deps --dev
	@clang-format-19 -i $(CXX_FILES)

tidy:  ## check all C++ files with clang-tidy
	@tools/install-deps --dev
	@cmake --preset tidy --log-level=NOTICE
	@cmake --build build/tidy -j$(JOBS)

clang:  ## build with clang: thread-safety annotations are checked
	@tools/install-deps --dev
	@cmake --preset clang --log-level=NOTICE
	@cmake --build build/clang -j$(JOBS)

asan: deps  ## unit tests under the address and undefined behaviour sanitizers
	@cmake --preset asan --log-level=NOTICE
	@cmake --build build/asan -j$(JOBS) --target $(UNIT_TESTS)
	@$(CTEST) --test-dir build/asan -L unit

# The distribution's gRPC is not instrumented: what crosses it looks like a race, so rpc, etcd and
# cli are left out. So are the sweeps of one thread over every operation, which take an hour here.
TSAN_TESTS := $(filter-out rpc_test etcd_test cli_test,$(UNIT_TESTS))
tsan: deps  ## unit tests under the thread sanitizer
	@cmake --preset tsan --log-level=NOTICE
	@cmake --build build/tsan -j$(JOBS) --target $(TSAN_TESTS)
	@for program in $(TSAN_TESTS); do echo "== $$program"; \
	  build/tsan/$$program --gtest_brief=1 --gtest_filter='-CrashTest.*:*PowerCut*:*EveryOperation*:*EveryByte*:*FailureOfEvery*'; done

fuzz:  ## run every fuzz target for FUZZ_SECONDS (60) from its corpus
	@tools/install-deps --dev
	@cmake --preset fuzz --log-level=NOTICE
	@cmake --build build/fuzz -j$(JOBS) --target fuzz_targets
	@for source in tests/fuzz/*_fuzz.cc; do \
	  name=$$(basename $$source .cc); mkdir -p build/fuzz/found/$$name; echo "== $$name"; \
	  build/fuzz/tests/fuzz/$$name -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=build/fuzz/found/ \
	    build/fuzz/found/$$name $$(ls -d tests/fuzz/corpus/$$name 2>/dev/null); done

planted: deps  ## plant bugs and show that the tests find each (docs/planted-bugs.md)
	@cmake --preset planted --log-level=NOTICE
	@cmake --build build/planted -j$(JOBS) --target $(PLANTED_TESTS)
	@tools/planted build/planted --document docs/planted-bugs.md

soak: build  ## simulate groups with new seeds until stopped; keeps those that fail
	@tools/soak $(BUILD)/tests/sim/sim_test

clean:  ## remove everything that was built
	@rm -rf build

help:  ## this list
	@sed -n 's/^\([a-z]*[a-z ]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{printf "make %-10s %s\n", $$1, $$2}'

# Two commands are enough: `make run` and `make test`. The rest are the jobs
# of continuous integration, one target each; `make help` lists them.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

CARGO ?= cargo
SECS  ?= 300
ARCH  ?= amd64
KERNEL ?= debian-6.1-amd64
TEST   ?= smoke.sh
SUDO  := $(if $(filter-out 0,$(shell id -u)),sudo)

.DEFAULT_GOAL := help
.PHONY: help setup run build build-arm64 deb test-deb lint deny test test-unit test-root test-portable test-all test-vm test-vm-all test-btf coverage fuzz bench bench-gate clean

help:            ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## */  make \1\t/p' Makefile | expand -t 20

setup:           ## install what is missing: compilers, headers, the daemon's user
	@scripts/setup.sh

run: setup       ## build, and watch this machine live (more arguments: ARGS="--duration 60")
	$(CARGO) build --release --locked
	$(SUDO) target/release/bee-traced --config config/bee-traced.toml --output pretty $(ARGS)

build:           ## both programs, optimised
	$(CARGO) build --release --locked

build-arm64:     ## the same for arm64 (target/arm64/aarch64-unknown-linux-gnu/release)
	@scripts/cross.sh build --release --locked

deb:             ## the Debian package (ARCH=arm64 for the other one), with lintian
	@scripts/deb.sh $(ARCH)

test-deb:        ## the package installed, upgraded, removed and purged in a virtual machine (KERNEL=…)
	@scripts/deb.sh --test $(KERNEL)

lint:            ## formatting of Rust and C, clippy
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --lib --bins --benches --test '*' -- -D warnings
	scripts/clang-format.sh

test:            ## everything that must hold: lint, dependencies, unit and root tests, two virtual machines
	@scripts/setup.sh
	@$(MAKE) --no-print-directory lint
	@scripts/test.sh deps unit root vm

deny:            ## licences, sources, versions and known holes of the dependencies
	@scripts/deny.sh

test-unit:       ## tests that need no privilege
	@scripts/test.sh unit

test-root:       ## end-to-end tests on this kernel (asks for root)
	@scripts/test.sh root

test-portable:   ## the end-to-end tests again, with sensors that read no kernel structure
	@scripts/test.sh portable

test-all:        ## `test`, the slow root tests, the tier portable, five virtual machines
	@scripts/setup.sh
	@$(MAKE) --no-print-directory lint
	@scripts/test.sh deps unit root portable slow vm more-vms

test-vm:         ## tests in a virtual machine with another kernel (KERNEL=debian-6.1-amd64 TEST=smoke.sh)
	@scripts/vm.sh $(KERNEL) $(TEST)

test-vm-all:     ## the same with every kernel of tests/vm/kernels.toml
	@scripts/vm.sh --all $(TEST)

test-btf:        ## types made from headers against those of Debian's kernels (downloads 1 GB once)
	@scripts/btf.sh

coverage:        ## lines and branches per module, the daemon's own runs included
	@scripts/setup.sh
	@scripts/coverage.sh

fuzz:            ## every fuzz target for SECS seconds (300)
	@scripts/fuzz.sh $(SECS)

bench:           ## what the daemon costs here; prints, never fails on a number (ARGS=starts: only the starts)
	@scripts/setup.sh
	@scripts/bench.sh $(ARGS)

bench-gate:      ## instructions the kernel executes for a call with the daemon, in virtual machines; fails over a limit
	@scripts/setup.sh
	@scripts/gate.sh $(KERNELS)

clean:           ## remove all that was built
	$(CARGO) clean
	rm -rf fuzz/target fuzz/artifacts fuzz/coverage

# Targets for building, testing and running this tree. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# RocksDB takes long to compile. So the target directory is outside the clone if possible, to outlive it, and all
# targets use one profile. A CARGO_TARGET_DIR that the caller has set takes precedence.
ifeq ($(origin CARGO_TARGET_DIR),undefined)
CARGO_TARGET_DIR := $(shell dir="$$HOME/.cache/ordu-target"; \
    mkdir -p "$$dir" 2>/dev/null && test -w "$$dir" && echo "$$dir" || echo "$(CURDIR)/target")
endif
export CARGO_TARGET_DIR

# ccache has wrappers in this directory that are named like the compilers; cargo then uses the cache.
ifneq ($(wildcard /usr/lib/ccache),)
export PATH := /usr/lib/ccache:$(PATH)
endif

# Tests start whole clusters. Too many at once would slow each other down and exceed time limits.
export RUST_TEST_THREADS ?= 2

# Build with --workspace everywhere: building one crate alone selects other features of dependencies and recompiles
# them.
CARGO_BUILD := cargo build --release --workspace --locked
BIN := $(CARGO_TARGET_DIR)/release
NEXT_BIN := $(BIN)/ordu-next
BASE ?= debian:bookworm-slim

.PHONY: help deps build up down test next release-check golden flaky bench overload lint fix deny image

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 15

deps: ## install missing packages that a build needs
	@deploy/deps.sh

build: deps ## build everything
	$(CARGO_BUILD)

up: build ## start three servers and a node on loopback, and run an example job
	@deploy/local.sh up $(BIN)/ordu

down: ## stop what `make up` started, and remove its data
	@deploy/local.sh down

test: next ## run all tests
	$(CARGO_BUILD)
	ORDU_NEXT_BIN=$(NEXT_BIN) cargo test --release --workspace --locked --no-fail-fast

# Builds the same tree with one more feature level, for tests of mixed releases. The binary is never released: it is
# renamed, and the next build creates the normal one again.
next: deps
	$(CARGO_BUILD) --bin ordu --features ordu/next-level
	mv $(BIN)/ordu $(NEXT_BIN)

release-check: build ## open the data directories of all former releases, and print what is in them
	cargo test --release --workspace --locked --test cluster releases:: -- --nocapture

golden: build ## create the data directories of a new release for `release-check`: RELEASE=0.1
	$(BIN)/golden tests/golden/$(RELEASE)

flaky: next build ## run the unit tests 50 times, and the tests of real and simulated clusters 5 times
	@ORDU_NEXT_BIN=$(NEXT_BIN) deploy/flaky.sh 50 5

bench: build ## start a cluster and measure it; more options in BENCH="..."
	$(BIN)/bench --spawn $(BENCH)

overload: build ## start a cluster and load it in every way that clients can, for ten minutes; more options in OVERLOAD="..."
	$(BIN)/overload $(OVERLOAD)

lint: ## check formatting and lints, without changing files
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets --locked -- -D warnings

fix: ## fix formatting, and the lints that can be fixed automatically
	cargo clippy --release --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all

deny: ## check licences, sources and advisories of all dependencies
	@command -v cargo-deny >/dev/null || { echo "run: cargo install --locked cargo-deny"; exit 1; }
	cargo deny check

image: build ## build the container image `ordu` on the base image BASE
	@tar --create --directory=$(BIN) ordu --directory=$(CURDIR)/deploy Dockerfile \
	    | docker build --tag ordu --build-arg BASE=$(BASE) -

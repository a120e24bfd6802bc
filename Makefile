# Everything that is done with this tree. `make` alone tells what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# RocksDB takes long to compile: the target directory is kept outside the clone where that is possible, and
# everything uses one profile. The caller's choice comes first.
ifeq ($(origin CARGO_TARGET_DIR),undefined)
CARGO_TARGET_DIR := $(shell dir="$$HOME/.cache/ordu-target"; \
    mkdir -p "$$dir" 2>/dev/null && test -w "$$dir" && echo "$$dir" || echo "$(CURDIR)/target")
endif
export CARGO_TARGET_DIR

# The compiler cache stands in for the C++ compiler under its name; cargo does not notice.
ifneq ($(wildcard /usr/lib/ccache),)
export PATH := /usr/lib/ccache:$(PATH)
endif

# Tests start clusters; more at once than there are cores would measure each other.
export RUST_TEST_THREADS ?= 2

# --workspace everywhere: a build of one crate alone would choose other features and compile again.
CARGO_BUILD := cargo build --release --workspace --locked
BIN := $(CARGO_TARGET_DIR)/release
NEXT_BIN := $(BIN)/ordu-next
BASE ?= debian:bookworm-slim

.PHONY: help deps build up down test next release-check golden flaky bench overload lint fix deny image

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 15

deps: ## install what a build needs and the machine lacks
	@deploy/deps.sh

build: deps ## build everything
	$(CARGO_BUILD)

up: build ## start three servers and a node on loopback, and run an example job there
	@deploy/local.sh up $(BIN)/ordu

down: ## end what `make up` started, and leave nothing behind
	@deploy/local.sh down

test: next ## run all tests
	$(CARGO_BUILD)
	ORDU_NEXT_BIN=$(NEXT_BIN) cargo test --release --workspace --locked --no-fail-fast

# The same tree with a feature level more, for tests of mixed releases. It is no release: its binary is set aside, and a
# build puts the tree's own in its place.
next: deps
	$(CARGO_BUILD) --bin ordu --features ordu/next-level
	mv $(BIN)/ordu $(NEXT_BIN)

release-check: build ## open the data directories that each release has left, and tell what was in them
	cargo test --release --workspace --locked --test cluster releases:: -- --nocapture

golden: build ## make the data directories of a release, once it is done, for `release-check`: RELEASE=0.1
	$(BIN)/golden tests/golden/$(RELEASE)

flaky: next build ## run the unit tests 50 times over and those of clusters, real and simulated, 5 times; shows what failed
	@ORDU_NEXT_BIN=$(NEXT_BIN) deploy/flaky.sh 50 5

bench: build ## measure a cluster of its own; more options by BENCH="..."
	$(BIN)/bench --spawn $(BENCH)

overload: build ## load a cluster of its own in every way that clients can, for ten minutes; more options by OVERLOAD="..."
	$(BIN)/overload $(OVERLOAD)

lint: ## check form and lints; writes nothing
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets --locked -- -D warnings

fix: ## mend form, and the lints that can be mended
	cargo clippy --release --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all

deny: ## check licences, sources and advisories of what we build on
	@command -v cargo-deny >/dev/null || { echo "run: cargo install --locked cargo-deny"; exit 1; }
	cargo deny check

image: build ## make the container image `ordu`, on the base image BASE
	@tar --create --directory=$(BIN) ordu --directory=$(CURDIR)/deploy Dockerfile \
	    | docker build --tag ordu --build-arg BASE=$(BASE) -

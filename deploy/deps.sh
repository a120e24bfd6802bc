#!/usr/bin/env bash
# Installs the packages that a build needs in addition to a Rust toolchain, on Debian and its derivatives. Does
# nothing if all are installed. Without root it prints the command to run.
set -euo pipefail

# A C++ compiler for RocksDB, libclang for its bindings.
needed=(g++ libclang-dev)
# Optional: a compiler cache, Python, curl and jq for the conformance scenarios and the cases from the field, nftables to
# drop packets in tests, and e2fsprogs to make small file systems in tests.
useful=(ccache python3 curl jq nftables e2fsprogs)

missing() {
    local package
    for package in "$@"; do
        dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            echo "$package"
    done
}

if ! command -v dpkg-query >/dev/null; then
    echo "This is not Debian: see to it that a C++ compiler and libclang are installed."
    exit 0
fi
mapfile -t install < <(missing "${needed[@]}" "${useful[@]}")
if [ ${#install[@]} -eq 0 ]; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update --quiet --quiet
    apt-get install --yes --quiet --quiet --no-install-recommends "${install[@]}"
    exit 0
fi
command="sudo apt-get install --yes ${install[*]}"
if [ -z "$(missing "${needed[@]}")" ]; then
    echo "Not installed, and good to have: $command"
    exit 0
fi
echo "Building needs more than is installed. Run: $command"
exit 1

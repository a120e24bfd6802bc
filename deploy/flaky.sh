#!/usr/bin/env bash
# Runs all tests many times, to find those that fail sometimes: `flaky.sh UNIT_ROUNDS CLUSTER_ROUNDS`. Cluster tests are
# the test programs `cluster` and `simulation`, which take minutes each; all other test programs are unit tests.
set -euo pipefail
unit_rounds=$1
cluster_rounds=$2
said=$(mktemp)
trap 'rm --force "$said"' EXIT

# Runs cargo once: it builds the test programs and lists each one with the folder in which it must run.
programs=$(cargo test --release --workspace --locked --no-run --message-format json |
    sed -n '/"profile":{[^}]*"test":true}/s/.*"manifest_path":"\([^"]*\)\/Cargo.toml".*"executable":"\([^"]*\)".*/\1 \2/p')
[ -n "$programs" ] || { echo "cargo named no test programs" >&2; exit 1; }

# Runs all test programs of the kind `unit` or `cluster` the given number of times.
repeat() {
    local kind=$1 rounds=$2 round folder program count passed=0 failed=0
    for ((round = 1; round <= rounds; round++)); do
        while read -r folder program; do
            case "$kind $(basename "$program")" in
                cluster\ cluster-* | cluster\ simulation-*) ;;
                cluster\ * | unit\ cluster-* | unit\ simulation-*) continue ;;
            esac
            if ! (cd "$folder" && "$program" </dev/null >"$said" 2>&1); then
                cat "$said"
                echo "round $round of $(basename "$program") failed"
                failed=$((failed + 1))
            fi
            count=$(sed -n 's/^test result: .* \([0-9]*\) passed;.*/\1/p' "$said" | tail -n 1)
            passed=$((passed + ${count:-0}))
        done <<<"$programs"
        echo "$kind tests: round $round of $rounds, $passed passed so far, programs that failed: $failed"
    done
    [ "$failed" -eq 0 ] || has_failed=1
}

has_failed=0
repeat unit "$unit_rounds"
repeat cluster "$cluster_rounds"
exit "$has_failed"

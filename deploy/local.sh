#!/usr/bin/env bash
# Runs three servers and a node on loopback. Their data, logs and process ids are in .run.
#   local.sh up BINARY    start the members that do not run yet, run the example job, print the addresses
#   local.sh down         stop all members and their tasks, and remove .run
set -euo pipefail

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
run=$tree/.run
members=(server-1 server-2 server-3 node-1)
# The first server has Nomad's default ports, so that clients find it without configuration.
declare -A http=([server-1]=4646 [server-2]=5646 [server-3]=6646 [node-1]=7646)
start_seconds=60

say() { echo "$*" >&2; }

# Succeeds if the member runs. Checks the process's environment, because its id may belong to another process by now.
alive() {
    local pid
    pid=$(cat "$run/$1.pid" 2>/dev/null) || return 1
    grep -qzxF "ORDU_RUN_DIR=$run" "/proc/$pid/environ" 2>/dev/null
}

answers() {
    local port=$1 path=$2 words=$3
    # Does not need curl: bash opens the connection.
    (
        exec 3<>"/dev/tcp/127.0.0.1/$port"
        printf 'GET %s HTTP/1.1\r\nHost: ordu\r\nConnection: close\r\n\r\n' "$path" >&3
        timeout 5 cat <&3
    ) 2>/dev/null | grep "$words" >/dev/null
}

configuration() {
    local name=$1 port=${http[$1]}
    cat <<END
name      = "$name"
data_dir  = "$run/$name"
bind_addr = "127.0.0.1"

ports {
  http = $port
  rpc  = $((port + 1))
  serf = $((port + 2))
}
END
    if [ "$name" = node-1 ]; then
        cat <<END

client {
  enabled = true
  servers = ["127.0.0.1:4647", "127.0.0.1:5647", "127.0.0.1:6647"]
}

plugin "raw_exec" {
  config {
    enabled = true
  }
}
END
    else
        cat <<END

server {
  enabled          = true
  bootstrap_expect = 3

  server_join {
    retry_join = ["127.0.0.1:4647", "127.0.0.1:5647", "127.0.0.1:6647"]
  }
}
END
    fi
}

start() {
    local name=$1 binary=$2
    if alive "$name"; then
        say "$name runs already"
        return
    fi
    if (exec 3<>"/dev/tcp/127.0.0.1/${http[$name]}") 2>/dev/null; then
        say "Port ${http[$name]}, which $name is to have, is taken by another program."
        exit 1
    fi
    configuration "$name" >"$run/$name.hcl"
    ORDU_RUN_DIR=$run setsid "$binary" agent -config "$run/$name.hcl" >>"$run/$name.log" 2>&1 </dev/null &
    echo $! >"$run/$name.pid"
}

wait_for() {
    local what=$1 deadline=$((SECONDS + start_seconds))
    shift
    until "$@"; do
        local name
        for name in "${members[@]}"; do
            if ! alive "$name"; then
                say "$name has ended. Its last lines ($run/$name.log):"
                tail -n 15 "$run/$name.log" >&2
                exit 1
            fi
        done
        if [ "$SECONDS" -ge "$deadline" ]; then
            say "$what: not within $start_seconds seconds. The logs are in $run."
            exit 1
        fi
        sleep 0.1
    done
}

up() {
    local binary=$1 name
    mkdir -p "$run"
    for name in "${members[@]}"; do
        start "$name" "$binary"
    done
    for name in server-1 server-2 server-3; do
        wait_for "$name knows a leader" answers "${http[$name]}" /v1/status/leader '"127.0.0.1:'
    done
    wait_for "the node is ready" answers 4646 /v1/nodes '"Status":"ready"'
    export NOMAD_ADDR=http://127.0.0.1:4646
    "$binary" job run "$tree/deploy/examples/hello.hcl"
    echo
    "$binary" job status hello
    echo
    for name in server-1 server-2 server-3; do
        echo "$name: http://127.0.0.1:${http[$name]}"
    done
    echo "Logs and data are in $run. \`make down\` ends it all."
}

# Prints the ids of all processes of this cluster. Agents and supervisors have ORDU_RUN_DIR in their environment, tasks
# have NOMAD_ALLOC_DIR, a folder in .run.
ours() {
    local process
    for process in /proc/[0-9]*; do
        if grep -qzxF "ORDU_RUN_DIR=$run" "$process/environ" 2>/dev/null ||
            grep -qzF "NOMAD_ALLOC_DIR=$run/" "$process/environ" 2>/dev/null; then
            echo "${process#/proc/}"
        fi
    done
}

end_all() {
    local signal=$1 deadline=$((SECONDS + $2)) pids
    while mapfile -t pids < <(ours) && [ ${#pids[@]} -gt 0 ]; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            return 1
        fi
        # A process may have ended since it was listed.
        kill "-$signal" "${pids[@]}" 2>/dev/null || true
        sleep 0.2
    done
}

down() {
    # Look for processes even if the folder .run is gone: some may still run.
    end_all TERM 4 || end_all KILL 8 || {
        say "These would not end: $(ours | tr '\n' ' ')"
        exit 1
    }
    if [ ! -d "$run" ]; then
        say "Nothing runs here any more."
        return
    fi
    rm -rf "$run"
    say "All ended; $run is gone."
}

case ${1:-} in
up) up "${2:?up needs the binary}" ;;
down) down ;;
*)
    say "usage: local.sh up BINARY | local.sh down"
    exit 2
    ;;
esac

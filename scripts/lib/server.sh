# shellcheck shell=bash
# Starts and stops the server under test. Sourced by the demo and by the kernel tests.
#
# RAMDISK_NBD names the program (default: the repository's release build).

server_pid="" server_output="" server_log="" server_port=""

server_program() {
    if [[ -n ${RAMDISK_NBD-} ]]; then
        echo "$RAMDISK_NBD"
    else
        realpath "${BASH_SOURCE[0]%/*}/../../.build/release/ramdisk-nbd"
    fi
}

# start_server DIRECTORY ARG...: starts `ramdisk-nbd serve ARG...`, and returns when it is ready. Its output goes to
# DIRECTORY/server.out, its log to DIRECTORY/server.log.
start_server() {
    local program
    program=$(server_program)
    if [[ ! -x $program ]]; then
        echo "There is no server at $program; build it with: swift build -c release" >&2
        return 1
    fi
    server_output=$1/server.out
    server_log=$1/server.log
    # This shell empties the file, since the child may run later than the first check for the URI.
    : >"$server_output"
    # In a session of its own, so that Ctrl-C in a terminal does not stop the server of a mounted file system.
    setsid "$program" serve "${@:2}" </dev/null >"$server_output" 2>"$server_log" &
    server_pid=$!
    if ! wait_until 20 server_ready_or_gone || ! server_ready; then
        echo "The server did not become ready. Its log:" >&2
        tail -n 20 "$server_log" >&2
        return 1
    fi
    server_port=$(sed -nE '1 s#^nbds?://[^/]*:([0-9]+)(/.*)?$#\1#p' "$server_output")
    server_port=${server_port:-10809}
}

server_ready() {
    grep -qs '^nbd' "$server_output"
}

server_ready_or_gone() {
    server_ready || process_gone "$server_pid"
}

# stop_server: sends SIGTERM; true if the server then exits with status 0.
stop_server() {
    local pid=$server_pid status=0
    [[ -n $pid ]] || return 0
    kill -TERM "$pid" 2>/dev/null || true
    if ! wait_until 20 process_gone "$pid"; then
        kill -KILL "$pid" 2>/dev/null || true
        wait_until 5 process_gone "$pid" || true
        server_pid=""
        echo "The server did not stop within 20 seconds of SIGTERM." >&2
        return 1
    fi
    wait "$pid" || status=$?
    server_pid=""
    if ((status != 0)); then
        echo "The server exited with status $status. Its log:" >&2
        tail -n 20 "$server_log" >&2
        return 1
    fi
}

process_gone() {
    ! kill -0 "$1" 2>/dev/null
}

# wait_until SECONDS COMMAND...: repeats COMMAND until it is true; false if it is not within SECONDS.
wait_until() {
    local end=$((SECONDS + $1))
    until "${@:2}"; do
        ((SECONDS <= end)) || return 1
        sleep 0.05
    done
}

# shellcheck shell=bash
# Functions for the tests of `up` and `down`. Sourced after lib.sh.

# shellcheck disable=SC2154  # lib.sh sets it
up_pid="" up_output=$scratch/up.out up_log=$scratch/up.log

# ramdisk ARG...: the program.
ramdisk() {
    "$RAMDISK_NBD" "$@"
}

# up ARG...: starts `up` in the foreground of a job, and returns when it reports that it is ready.
up() { starts_up up "$@"; }

# starts_up COMMAND ARG...: the same for a command that is `up` in the end.
starts_up() {
    : >"$up_output"
    # Without setsid: a job of a script ignores SIGINT, which a terminal's process does not.
    setsid "$RAMDISK_NBD" "$@" </dev/null >"$up_output" 2>>"$up_log" 9>&- &
    up_pid=$!
    wait_until 60 up_ready_or_gone || fail "$* takes over 60 seconds"
    up_ready || { tail -n 20 "$up_log" >&2; fail "$* ended before it was ready"; }
    # shellcheck disable=SC2034  # for the tests
    read -r up_device up_mount <"$up_output" || true
}

up_ready() { [[ -s $up_output ]]; }
up_ready_or_gone() { up_ready || process_gone "$up_pid"; }

# up_fails STATUS TEXT ARG...: checks that `up` exits with STATUS, prints TEXT and leaves nothing.
up_fails() {
    refused "$1" "$2" up "${@:3}"
    nothing_left
}

# refused STATUS TEXT ARG...: checks that the program, with ARGs, exits with STATUS and prints TEXT.
refused() {
    local status=0
    timeout 60 "$RAMDISK_NBD" "${@:3}" >"$scratch/said" 2>&1 </dev/null || status=$?
    ((status == $1)) || fail "${*:3} ended with status $status and said: $(<"$scratch/said")"
    grep -qF -- "$2" "$scratch/said" || fail "${*:3} said: $(<"$scratch/said")"
}

# up_ends STATUS: checks that the job of `up` ends with STATUS.
up_ends() {
    local status=0
    wait_until 60 process_gone "$up_pid" || fail "up does not end"
    wait "$up_pid" || status=$?
    ((status == $1)) || { tail -n 20 "$up_log" >&2; fail "up ended with status $status, not $1"; }
    up_pid=""
}

# down ARG...: checks that `down` succeeds within a minute.
down() {
    timeout 60 "$RAMDISK_NBD" down "$@" || fail "down $* ended with status $?"
}

# The state of the machine before the test starts anything.
remember_machine() {
    sockets_before=$(sockets)
    memory_before=$(memory_in_use)
}

sockets() { ss -Hxa | wc -l; }

# Prints the memory in use in MiB: neither free nor reclaimable.
memory_in_use() {
    echo 3 >/proc/sys/vm/drop_caches
    awk '/^MemFree|^Cached|^Buffers|^SReclaimable/ { free += $2 }
        /^MemTotal/ { total = $2 } /^Shmem:/ { shared = $2 }
        END { print int((total - free + shared) / 1024) }' /proc/meminfo
}

# nothing_left: checks that no device, mount, process, socket, record, named memory or memory in use is left.
nothing_left() {
    local device
    for device in /sys/block/nbd*; do
        [[ ! -e $device/pid ]] || fail "/dev/${device##*/} is still attached"
    done
    ! grep -q '^/dev/nbd' /proc/mounts || fail "something is still mounted"
    wait_until 10 no_process || { ps ax >&2; fail "a process is still there"; }
    [[ ! -e /run/ramdisk-nbd ]] || { ls /run/ramdisk-nbd >&2; fail "a record is still there"; }
    [[ -z $(ls -A /dev/shm/ramdisk-nbd 2>/dev/null) ]] || fail "named memory is still there"
    wait_until 5 no_more_sockets || fail "there are more sockets than before"
    wait_until 10 no_more_memory ||
        fail "$(memory_in_use) MiB of memory are in use, and $memory_before MiB were before"
}

no_process() {
    local path
    for path in /proc/[0-9]*; do
        [[ $(readlink "$path/exe" 2>/dev/null) != "$RAMDISK_NBD" ]] || return 1
    done
}

no_more_sockets() { (($(sockets) <= sockets_before)); }
no_more_memory() { (($(memory_in_use) <= memory_before + 24)); }

# record NAME: prints a field of the record of the only disk.
record() {
    sed -n "s/^$1 //p" /run/ramdisk-nbd/*.disk
}

# worker_pid: prints the pid of the process that serves.
worker_pid() {
    local line
    line=$(record worker)
    echo "${line%% *}"
}

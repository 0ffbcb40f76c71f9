# shellcheck shell=bash
# Functions for the tests of `pool`. Sourced after lib.sh and up-lib.sh.
#
# A host is a network namespace with a server, reached over a veth pair. Host a has the address 10.7.1.2, b 10.7.2.2 and
# so on.

requires mdadm mdadm
requires tc iproute2

declare -A host_pid=() host_number=([a]=1 [b]=2 [c]=3 [d]=4)
# shellcheck disable=SC2154  # lib.sh sets it
pool_log=$scratch/pool.log

host_address() { echo "10.7.${host_number[$1]}.2"; }
host_uri() { echo "nbd://$(host_address "$1")"; }

# add_host HOST: a namespace without a server.
add_host() {
    local number=${host_number[$1]}
    ip netns add "$1"
    ip link add "to-$1" type veth peer name uplink netns "$1"
    ip address add "10.7.$number.1/24" dev "to-$1"
    ip link set "to-$1" up
    ip -n "$1" address add "10.7.$number.2/24" dev uplink
    ip -n "$1" link set uplink up
    ip -n "$1" link set lo up
}

# serve_host HOST OPTION...: a server in the namespace. nsenter keeps this mount namespace: one of its own would hold
# file systems that are mounted here.
serve_host() {
    local output=$scratch/host-$1.out
    : >"$output"
    setsid nsenter --net="/run/netns/$1" "$RAMDISK_NBD" serve --listen "$(host_address "$1")" \
        "${@:2}" </dev/null >"$output" 2>"$scratch/host-$1.log" 9>&- &
    host_pid[$1]=$!
    wait_until 60 grep -qs '^nbd' "$output" ||
        fail "the server of host $1 did not start: $(<"$scratch/host-$1.log")"
}

kill_host() {
    kill -KILL "${host_pid[$1]}"
    wait "${host_pid[$1]}" 2>/dev/null || true
    unset "host_pid[$1]"
}

stop_hosts() {
    local host
    for host in "${!host_pid[@]}"; do
        kill -CONT "${host_pid[$host]}" 2>/dev/null || true
        kill -TERM "${host_pid[$host]}" 2>/dev/null || true
        wait "${host_pid[$host]}" 2>/dev/null || true
        unset "host_pid[$host]"
    done
    # A server that was killed leaves its control socket, and `serve` the directory.
    rm -f /run/ramdisk-nbd/*.control
    rmdir /run/ramdisk-nbd 2>/dev/null || true
}

# pool ARG...: `ramdisk-nbd pool`, which must succeed.
pool() {
    timeout 120 "$RAMDISK_NBD" pool "$@" >"$scratch/pool.out" 2>"$pool_log" </dev/null 9>&- ||
        fail "pool $* ended with status $?: $(<"$pool_log")"
}

# pool_says TEXT: checks what the last pool command printed.
pool_says() {
    grep -qF -- "$1" "$scratch/pool.out" || fail "the command printed: $(<"$scratch/pool.out")"
}

# status_says TEXT: checks what `pool status` prints.
status_says() {
    "$RAMDISK_NBD" pool status >"$scratch/status.out" || fail "pool status ended with status $?"
    grep -qE -- "$1" "$scratch/status.out" || fail "the status is: $(<"$scratch/status.out")"
}

# status_is TEXT: the same as a condition.
status_is() { "$RAMDISK_NBD" pool status | grep -qE -- "$1"; }

# array: prints the path of the only array.
array() {
    local name
    name=$(awk '/^md/ { print $1 }' /proc/mdstat)
    [[ $name == md* && $name != *$'\n'* ]] || fail "there is not one array: $(</proc/mdstat)"
    echo "/dev/$name"
}

# md_figure NAME: prints an attribute of the only array.
md_figure() { cat "/sys/block/$(basename "$(array)")/md/$1"; }

is_idle() { [[ $(md_figure sync_action) == idle ]]; }

# await_idle: waits until all members are the same, as far as the kernel knows.
await_idle() { wait_until 60 is_idle || fail "the array does not come to rest: $(</proc/mdstat)"; }

# await_status TEXT: waits until `pool status` prints TEXT.
await_status() {
    wait_until 60 status_is "$1" || fail "the status does not become $1: $(ramdisk pool status)"
}

# same_everywhere: makes the kernel compare all members block by block.
same_everywhere() {
    await_idle
    echo check >"/sys/block/$(basename "$(array)")/md/sync_action"
    await_idle
    (($(md_figure mismatch_cnt) == 0)) || fail "members differ in $(md_figure mismatch_cnt) sectors"
}

# start_load: fio in the background on the array: writes that take some seconds, then verification. A request
# that takes longer than 5 seconds is a failure.
start_load() {
    fio --name=load --filename="$(array)" --ioengine=libaio --direct=1 --rw=randwrite --bs=4k \
        --size=16M --iodepth=8 --rate_iops=700 --verify=crc32c --verify_fatal=1 --randrepeat=0 \
        --max_latency=5s >"$scratch/load.out" 2>&1 &
    load_pid=$!
}

load_ends() {
    wait "$load_pid" || { cat "$scratch/load.out" >&2; fail "fio found something wrong after: $1"; }
    # The first such line is about writes.
    echo "  longest write: $(sed -nE 's/^ +lat \((.*)\): .*max= *([^,]+),.*/\2 \1/p' "$scratch/load.out" | head -n 1)"
}

# no_pool: checks that no array, device, mount, record or process of a pool is left. Hosts may run.
no_pool() {
    local device path
    ! grep -q '^md' /proc/mdstat || fail "there is an array: $(</proc/mdstat)"
    [[ -z $(ls -A /dev/md 2>/dev/null) ]] || fail "the name of an array is left in /dev/md: $(ls -l /dev/md)"
    for device in /sys/block/nbd*; do
        [[ ! -e $device/pid ]] || fail "/dev/${device##*/} is still attached"
    done
    ! grep -qE '^/dev/(nbd|md)' /proc/mounts || fail "something is still mounted"
    for path in /run/ramdisk-nbd/*.pool /run/ramdisk-nbd/*.disk /run/ramdisk-nbd/*.lock; do
        [[ ! -e $path ]] || fail "$path is left"
    done
    wait_until 10 no_pool_process || { ps axww >&2; fail "a process is still there"; }
}

no_pool_process() { ! pgrep -f -- '--pool-member|ramdisk-nbd pool' >/dev/null; }

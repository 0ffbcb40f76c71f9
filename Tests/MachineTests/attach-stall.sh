#!/bin/bash
# Attaching with several queues while the kernel is slow to make workers: connections that the kernel does not read
# are found and replaced before a request waits for the kernel's timeout (B1).
#
# At boot, or when memory is short, the kernel's work queue gets no new worker for 10 ms. Its rescuer then
# takes all of the queue's works and runs them one after the other; for nbd the first never returns, so
# the replies of the other connections are not read. Here kthreadd, which creates the workers, runs only when the
# processors are idle, and other processes keep them busy until a moment after the device is attached.
source "${BASH_SOURCE[0]%/*}/lib.sh"

rounds=${ROUNDS:-30}
# Milliseconds that a request may take.
longest=2000
kthreadd=2
device=/dev/nbd0
checks=0 rescued=0 rotated=0 longest_of_all=0 longest_rescued=0
hogs=()

start_hogs() {
    local hog
    for ((hog = 0; hog < 2 * $(nproc); hog++)); do
        # shellcheck disable=SC2016
        setsid bash -c 'while :; do :; done' </dev/null &
        hogs+=("$!")
    done
    jobs_started+=("${hogs[@]}")
}

end_hogs() {
    local hog
    for hog in "${hogs[@]}"; do end_job "$hog" 2>/dev/null; done
    hogs=()
}

slow_workers() { chrt --idle --pid 0 "$kthreadd"; }
quick_workers() { chrt --other --pid 0 "$kthreadd"; }

# note_rescuer: whether the rescuer of the device's queue reads a connection now. While it does, the name of
# the work is behind its own: nbd0-recv+nbd0-recv.
note_rescuer() {
    local pid
    for pid in $(pgrep "^${device#/dev/}-recv"); do
        ! grep -qs recv_work "/proc/$pid/stack" || : >"$scratch/rescued"
    done
}

# release_workers_later: as soon as the device is there and the rescuer has had its 10 ms, four times over.
release_workers_later() {
    local try
    for ((try = 0; try < 400; try++)); do
        ! device_attached "$device" || break
        sleep 0.05
    done
    sleep 0.3
    note_rescuer
    quick_workers
}

# stalled PROCESSOR: fails, and prints which threads of the kernel read connections.
stalled() {
    local path readers=""
    for path in /proc/[0-9]*; do
        ! grep -qs recv_work "$path/stack" || readers+=" $(<"$path/comm")"
    done
    echo "These read connections:$readers" >&2
    note_rescuer
    [[ ! -e $scratch/rescued ]] || echo "The rescuer of $device reads one of its connections." >&2
    fail "round $round: reading from processor $1 takes over 20 seconds"
}

# The kernel keeps workers that have nothing to do. Before each round as many go to another device as the
# last round released, so that the next connection takes the last one.
requires chrt util-linux
modprobe -r nbd
modprobe nbd nbds_max=$((rounds + 8))
in_background "$RAMDISK_NBD" serve --size 16M --unix "$scratch/sock"
wait_until 30 test -S "$scratch/sock" || fail "the server did not start"
uri="nbd+unix:///?socket=$scratch/sock"
others=()
take_workers() {
    others+=("/dev/nbd$((${#others[@]} + 1))")
    ramdisk attach "$uri" "${others[-1]}" --connections 2 >/dev/null || fail "attach ${others[-1]} failed"
}
for number in 1 2 3 4; do take_workers; done

checking "$rounds rounds of up and attach with two queues while workers come slowly"
for ((round = 1; round <= rounds; round++)); do
    rm -f "$scratch/rescued"
    take_workers
    udevadm settle --timeout=60
    watch_requests
    mark_kernel_log
    start_hogs
    slow_workers
    release_workers_later &
    release=$!
    if ((round % 2)); then
        timeout 120 "$RAMDISK_NBD" up --size 32M --queues 2 --device "$device" --daemon >/dev/null 2>"$scratch/said" ||
            { cat "$scratch/said" >&2; fail "up failed in round $round"; }
    else
        timeout 120 "$RAMDISK_NBD" attach "$uri" "$device" --connections 2 >/dev/null 2>"$scratch/said" ||
            { cat "$scratch/said" >&2; fail "attach failed in round $round"; }
    fi
    wait "$release"
    note_rescuer
    end_hogs
    note_rescuer
    ((++checks))
    [[ ! -e $scratch/rescued ]] || ((++rescued))
    # From each processor, and so through each queue.
    for ((cpu = 0; cpu < $(nproc); cpu++)); do
        timeout 20 taskset --cpu-list "$cpu" \
            dd if="$device" of=/dev/null bs=4k count=64 iflag=direct status=none ||
            stalled "$cpu"
    done
    no_request_over "$longest"
    ((longest_seen <= longest_of_all)) || longest_of_all=$longest_seen
    [[ ! -e $scratch/rescued ]] || ((longest_seen <= longest_rescued)) || longest_rescued=$longest_seen
    # The kernel notes each connection that has ended.
    if kernel_log | grep -q "${device#/dev/}: Receive control failed"; then ((++rotated)); fi
    stop_watching_requests
    if ((round % 2)); then
        ramdisk down "$device" || fail "down failed in round $round"
    else
        udevadm settle --timeout=60
        ramdisk detach "$device" || fail "detach failed in round $round"
    fi
done
echo "  (in $rescued of $checks rounds the rescuer read a connection, in $rotated connections were replaced)"
echo "  (the longest request of all took $longest_of_all ms, of rounds with the rescuer $longest_rescued ms)"
((rescued > 0)) || fail "the rescuer never had a part in it: this test shows nothing"
for device in "${others[@]}"; do
    ramdisk detach "$device" || fail "detach $device failed"
done
for job in "${jobs_started[@]}"; do end_job "$job"; done
wait_until 20 modprobe -r nbd 2>/dev/null || fail "the driver cannot be unloaded"

#!/bin/bash
# Swap on the disk: a kernel with too little memory for its load swaps through the server, which must not need memory
# for that. Data that was swapped out is intact.
# in-kernel: --memory 256M
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

device=/dev/nbd0

swap_used() {
    awk -v device="$device" '$1 == device { print $4 }' /proc/swaps
}

# carries_a_load PID: swaps out and in, through the process, more than fits into memory.
carries_a_load() {
    local turn part used readers=()
    quietly "mkswap did not work" mkswap "$device"
    swapon "$device" || fail "swapon did not work"
    mount -t tmpfs -o size=160M tmpfs "$mount_point"
    head -c 140M /dev/urandom | tee "$mount_point/load" | sha256sum >"$scratch/before"
    used=$(swap_used)
    ((used >= 32 << 10)) || fail "only $used KiB are swapped out"
    for turn in 1 2 3; do
        for part in 0 1 2 3; do
            dd if="$mount_point/load" of=/dev/null bs=1M skip=$((part * 35)) count=35 \
                status=none &
            readers[part]=$!
        done
        wait "${readers[@]}" || fail "turn $turn could not read it"
    done
    sha256sum <"$mount_point/load" >"$scratch/after"
    cmp -s "$scratch/before" "$scratch/after" || fail "what was swapped out came back otherwise"
    echo "  $((used >> 10)) MiB swapped out, the server has" \
        "$(awk '$1 == "VmRSS:" { print int($2 / 1024) }' "/proc/$1/status") MiB"
    umount "$mount_point"
    swapoff "$device" || fail "swapoff did not work"
}

# restored: checks that the setting that --swap changes is what it was.
restored() {
    [[ $(<"$setting") == "$boost" ]] || fail "$setting is $(<"$setting"), and was $boost"
}

setting=/proc/sys/vm/watermark_boost_factor
boost=$(<"$setting")
serve --size 128M --unix "$scratch/nbd.sock" --swap
quietly "nbd-client could not attach $device" \
    nbd-client -b 4096 -unix "$scratch/nbd.sock" "$device"
wait_until 10 device_attached "$device" || fail "the device did not get a size"

[[ $(<"$setting") == 0 ]] || fail "the server has not set $setting"
checking "a server with --swap carries a load larger than the memory, in and out again"
keeps_its_memory "$server_pid" 128
carries_a_load "$server_pid"
detach "$device"
stop
restored

checking "up --swap does too"
up --size 128M --filesystem none --device "$device" --swap
keeps_its_memory "$up_pid" 128
carries_a_load "$up_pid"
down "$device"
up_ends 0
restored

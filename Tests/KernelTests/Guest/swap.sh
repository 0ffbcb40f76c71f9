#!/bin/bash
# Swap on the disk: a kernel with too little memory for its load gets it back through the server,
# which must not need memory for that. What was swapped out is intact.
# in-kernel: --memory 256M
source "${BASH_SOURCE[0]%/*}/lib.sh"

swap_used() {
    awk '$1 == "/dev/nbd0" { print $4 }' /proc/swaps
}

serve --size 128M --unix "$scratch/nbd.sock" --protect
quietly "nbd-client could not attach /dev/nbd0" \
    nbd-client -b 4096 -unix "$scratch/nbd.sock" /dev/nbd0
wait_until 10 device_attached /dev/nbd0 || fail "the device did not get a size"

checking "the server is protected"
[[ $(cat "/proc/$server_pid/oom_score_adj") == -1000 ]] || fail "it may be killed for its memory"
locked=$(awk '$1 == "VmLck:" { print $2 }' "/proc/$server_pid/status")
((locked >= 128 << 10)) || fail "only $locked KiB of it are locked"

quietly "mkswap did not work" mkswap /dev/nbd0
swapon /dev/nbd0 || fail "swapon did not work"

checking "a load larger than the memory is carried by the swap"
mount -t tmpfs -o size=160M tmpfs "$mount_point"
head -c 140M /dev/urandom | tee "$mount_point/load" | sha256sum >"$scratch/before"
used=$(swap_used)
((used >= 32 << 10)) || fail "only $used KiB are swapped out"

checking "several of them at a time, in and out again"
for turn in 1 2 3; do
    for part in 0 1 2 3; do
        dd if="$mount_point/load" of=/dev/null bs=1M skip=$((part * 35)) count=35 status=none &
        readers[part]=$!
    done
    wait "${readers[@]}" || fail "turn $turn could not read it"
done
sha256sum <"$mount_point/load" >"$scratch/after"
cmp -s "$scratch/before" "$scratch/after" || fail "what was swapped out came back otherwise"
echo "  $((used >> 10)) MiB swapped out, the server has" \
    "$(awk '$1 == "VmRSS:" { print int($2 / 1024) }' "/proc/$server_pid/status") MiB"

checking "the swap can be given up"
umount "$mount_point"
swapoff /dev/nbd0 || fail "swapoff did not work"
detach /dev/nbd0
stop

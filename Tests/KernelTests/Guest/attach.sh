#!/bin/bash
# `attach` and `detach`, for any server by its URI, and what attaching costs beside nbd-client.
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

serve --export first=40M --export second=24M --listen localhost:0 --unix "$scratch/sock"
unix="nbd+unix:///?socket=$scratch/sock"

checking "over TCP, four connections, timeouts, a named export and a chosen device"
device=$(ramdisk attach "nbd://localhost:$server_port/second" /dev/nbd1 --connections 4 \
    --timeout 30s --dead-connection-timeout 300s) || fail "attach ended with status $?"
[[ $device == /dev/nbd1 ]] || fail "attach printed $device"
[[ $(blockdev --getsize64 /dev/nbd1) == $((24 << 20)) ]] || fail "it has another size"
run_fio attached --filename=/dev/nbd1 --rw=randwrite --bs=4k --size=12M --iodepth=32 --verify=crc32c
ramdisk list | grep -qE "^/dev/nbd1 +24M +- +- +- +nbd://localhost:$server_port/second +attached$" || fail "$(ramdisk list)"

checking "a device in use is refused, and so is what cannot be"
refused 69 "/dev/nbd1 is in use" attach "$unix" /dev/nbd1
refused 69 "its connections are alive" attach "nbd://localhost:$server_port/second" /dev/nbd1
refused 69 "no-such" attach "nbd+unix:///no-such?socket=$scratch/sock"
refused 69 "is its server running?" attach "nbd+unix:///?socket=$scratch/nobody"
refused 64 "TLS" attach "nbds://localhost:$server_port"
refused 69 "is not attached" detach /dev/nbd3
refused 69 "use ramdisk-nbd detach" down /dev/nbd1

checking "a device that is mounted is not detached; then it is, and written out"
quietly "mkfs.ext4 did not work" mkfs.ext4 -q /dev/nbd1
mount_disk /dev/nbd1
refused 69 "mounted at $mount_point" detach /dev/nbd1
unmount_disk
ramdisk detach /dev/nbd1 || fail "detach ended with status $?"
device_detached /dev/nbd1 || fail "the device is still attached"

checking "the first free device, on a Unix socket; dirty data is written before it goes"
device=$(ramdisk attach "$unix") || fail "attach ended with status $?"
head -c 1M /dev/urandom >"$scratch/data"
cat "$scratch/data" >"$device"
ramdisk detach "$device" || fail "detach ended with status $?"
device=$(ramdisk attach "$unix") || fail "attach ended with status $?"
cmp -n $((1 << 20)) "$scratch/data" "$device" || fail "the data is another"
ramdisk detach "$device" || fail "detach ended with status $?"

# microseconds COMMAND...: prints the time that COMMAND takes.
microseconds() {
    local start=${EPOCHREALTIME/./}
    "$@" >/dev/null 2>&1 || fail "$* does not work"
    echo "$((${EPOCHREALTIME/./} - start))"
}

median() { sort -n | sed -n "$((($1 + 1) / 2))p"; }

checking "attaching takes at most half of what nbd-client takes"
rounds=9
for ((round = 0; round < rounds; round++)); do
    # A: the whole of nbd-client, which attaches without this program.
    microseconds nbd-client -b 4096 -unix "$scratch/sock" /dev/nbd0 >>"$scratch/theirs"
    detach_device /dev/nbd0 >/dev/null 2>&1 || fail "nbd-client could not detach"
    # B: the step of `up` that does the same, from the connection to the device.
    : >"$scratch/up.out"
    "$RAMDISK_NBD" up --size 40M --device /dev/nbd0 --queues 1 >"$scratch/up.out" \
        2>"$scratch/up.log" &
    up_pid=$!
    wait_until 20 test -s "$scratch/up.out" || fail "up does not get ready"
    sed -nE 's/.* attached .*microseconds=([0-9]+).*/\1/p' "$scratch/up.log" >>"$scratch/ours"
    kill -TERM "$up_pid"
    wait "$up_pid" || fail "up did not end well"
    # The command that does only that.
    microseconds "$RAMDISK_NBD" attach "$unix" /dev/nbd0 >>"$scratch/command"
    ramdisk detach /dev/nbd0 || fail "detach ended with status $?"
done
theirs=$(median "$rounds" <"$scratch/theirs")
ours=$(median "$rounds" <"$scratch/ours")
command=$(median "$rounds" <"$scratch/command")
echo "  nbd-client $theirs us, up's step $ours us, ramdisk-nbd attach $command us (medians of $rounds)"
((ours * 2 <= theirs)) || fail "attaching takes over half of what nbd-client takes"
stop

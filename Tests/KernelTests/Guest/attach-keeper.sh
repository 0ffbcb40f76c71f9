#!/bin/bash
# Disks of `attach`: the keeper, or the same command run again, replaces dead connections, and a device whose server is
# gone can be detached.
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

serve_disk() {
    serve --size 32M --backing remote --keep --unix "$scratch/sock"
}
uri="nbd+unix:///?socket=$scratch/sock"

kill_server() {
    # shellcheck disable=SC2154  # server.sh sets it
    kill -KILL "$server_pid"
    wait "$server_pid" 2>/dev/null || true
    server_pid=""
}

# keep ARG...: `attach --stay`.
keep() {
    : >"$up_output"
    setsid "$RAMDISK_NBD" attach --stay "$@" </dev/null >"$up_output" 2>>"$up_log" &
    up_pid=$!
    wait_until 60 up_ready_or_gone || fail "attach --stay takes over 60 seconds"
    up_ready || { tail -n 20 "$up_log" >&2; fail "attach --stay ended before it was ready"; }
    read -r up_device <"$up_output" || true
}

checking "attach --stay: the server is killed and comes back under fio; no error, no wrong block"
serve_disk
keep "$uri" --timeout 2s
ramdisk list | grep -q " watched$" || fail "list says: $(ramdisk list)"
refused 69 "looked after by process $up_pid already" attach "$uri" "$up_device"
dmesg --clear
for ((round = 0; round < 3; round++)); do
    fio --name=load --filename="$up_device" --ioengine=libaio --direct=1 --rw=randwrite --bs=4k \
        --size=16M --iodepth=16 --verify=crc32c --verify_fatal=1 --randrepeat=0 --max_latency=120s \
        >"$scratch/load.out" 2>&1 &
    load_pid=$!
    sleep 1
    kill_server
    sleep 2
    serve_disk
    wait "$load_pid" || { cat "$scratch/load.out" >&2; fail "fio found something wrong"; }
done
! dmesg | grep -q 'I/O error' || fail "the kernel saw an error"

checking "a server that comes back with another disk is not taken"
kill_server
serve --size 16M --unix "$scratch/sock"
wait_until 20 grep -q "is another disk now" "$up_log" || fail "the log has: $(tail -n 5 "$up_log")"
stop
serve_disk
dd if="$up_device" of=/dev/null bs=4096 count=1 iflag=direct status=none || fail "it cannot be read"

checking "its device is detached by detach, once it is not in use"
quietly "mkfs.ext4 did not work" mkfs.ext4 -q "$up_device"
mount_disk "$up_device"
refused 69 "mounted at $mount_point" detach "$up_device"
unmount_disk
ramdisk detach "$up_device" || fail "detach ended with status $?"
up_ends 0
device_detached "$up_device" || fail "the device is still attached"

checking "a keeper that was killed: the same command looks after the device again"
keep "$uri" --timeout 2s
kill -KILL "$up_pid"
wait "$up_pid" 2>/dev/null || true
device=$up_device
kill_server
serve_disk
keep "$uri" "$device" --timeout 2s
[[ $up_device == "$device" ]] || fail "it took $up_device instead of $device"
[[ $(ramdisk list | grep -c "^$device") == 1 ]] || fail "list says: $(ramdisk list)"
dd if="$device" of=/dev/null bs=4096 count=1 iflag=direct status=none || fail "it cannot be read"
ramdisk detach "$device" || fail "detach ended with status $?"
up_ends 0

checking "without --stay: the same command with the device makes the connections again"
device=$(ramdisk attach "$uri") || fail "attach ended with status $?"
head -c 1M /dev/urandom >"$scratch/data"
dd if="$scratch/data" of="$device" bs=1M oflag=direct status=none
refused 69 "its connections are alive" attach "$uri" "$device"
kill_server
sleep 1
! dd if="$device" of=/dev/null bs=4096 count=1 iflag=direct status=none 2>/dev/null ||
    fail "a read without a server succeeds"
serve_disk
[[ $(ramdisk attach "$uri" "$device") == "$device" ]] || fail "attach did not take the device again"
dd if="$device" bs=1M count=1 iflag=direct status=none | cmp -s - "$scratch/data" ||
    fail "the data is another"

checking "a device that is merely open is detached, and detach says so"
other=$(ramdisk attach "$uri") || fail "attach ended with status $?"
tail -f /dev/null <"$other" &
opener=$!
wait_until 10 test "/proc/$opener/fd/0" -ef "$other" || fail "the device is not open"
ramdisk detach "$other" >"$scratch/said" 2>&1 || fail "detach ended with status $?"
grep -q "tail (process $opener)" "$scratch/said" || fail "detach said: $(<"$scratch/said")"
kill "$opener"
wait "$opener" 2>/dev/null || true
wait_until 10 device_detached "$other" || fail "the device is still attached"

checking "a device whose server is gone is detached when nothing could be lost, else by force"
kill_server
sleep 1
ramdisk detach "$device" || fail "detach ended with status $?"
device_detached "$device" || fail "the device is still attached"
serve_disk
device=$(ramdisk attach "$uri" --dead-connection-timeout 2s) || fail "attach ended with status $?"
mkdir -p "$scratch/hold"
# Dirty pages that the kernel has not written yet.
head -c 4M /dev/urandom | dd of="$device" bs=1M conv=nocreat,notrunc status=none &
wait "$!"
kill_server
ramdisk detach "$device" >"$scratch/said" 2>&1 && status=0 || status=$?
if ((status != 0)); then
    grep -q -- "--force" "$scratch/said" || fail "detach said: $(<"$scratch/said")"
    ramdisk detach --force "$device" || fail "detach --force ended with status $?"
fi
wait_until 10 device_detached "$device" || fail "the device is still attached"
serve_disk
stop
rm -rf /dev/shm/ramdisk-nbd

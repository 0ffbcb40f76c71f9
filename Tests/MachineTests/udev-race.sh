#!/bin/bash
# udev, blkid and programs that open every device race with up and down, attach and detach: nothing hangs, nothing fails,
# no device stays attached, and no write is lost. `down` waits for programs that have a device open for a limited
# time; then their reads may fail.
source "${BASH_SOURCE[0]%/*}/lib.sh"

rounds=${ROUNDS:-15}
# What looks at the devices leaves the program little of the emulated processors.
ramdisk_seconds=300
# They look at the devices that the kernel chooses first. udev itself looks at each change.
devices=(/dev/nbd{0..3})

# look_again_and_again COMMAND...: in the background, until the test ends.
look_again_and_again() {
    # shellcheck disable=SC2016 # the inner shell's arguments
    setsid bash -c 'while :; do "$@" >/dev/null 2>&1; sleep 0.2; done' look "$@" </dev/null &
    lookers+=("$!")
    jobs_started+=("$!")
}

modprobe nbd
in_background "$RAMDISK_NBD" serve --size 32M --unix "$scratch/socket"
server=$job
wait_until 30 test -S "$scratch/socket" || fail "the server did not start"
checking "udev, blkid, a reader and a partition scan look at the devices all the time"
lookers=()
look_again_and_again blkid --probe "${devices[@]}"
look_again_and_again udevadm trigger --action=change --settle "${devices[@]}"
for device in "${devices[@]}"; do
    look_again_and_again dd if="$device" of=/dev/null bs=64k count=4
done
look_again_and_again blockdev --rereadpt "${devices[@]}"

checking "$rounds rounds of up and attach, down and detach"
mark_kernel_log
begin=$SECONDS
for ((round = 1; round <= rounds; round++)); do
    ramdisk up --size 32M --mount /mnt/r --daemon >"$scratch/up" 2>&1 ||
        { cat "$scratch/up" >&2; fail "up failed in round $round"; }
    ramdisk attach "nbd+unix:///?socket=$scratch/socket" >"$scratch/attached" 2>&1 ||
        { cat "$scratch/attached" >&2; fail "attach failed in round $round"; }
    read -r disk _ <"$scratch/up"
    read -r export <"$scratch/attached"
    echo "$round" >/mnt/r/file
    ramdisk down /mnt/r >"$scratch/said" 2>&1 || { cat "$scratch/said" >&2; fail "down failed in round $round"; }
    ramdisk detach "$export" >"$scratch/said" 2>&1 || { cat "$scratch/said" >&2; fail "detach failed in round $round"; }
    wait_until 60 device_detached "$disk" || fail "round $round: $disk is still attached"
    wait_until 60 device_detached "$export" || fail "round $round: $export is still attached"
done
echo "  ($rounds rounds took $((SECONDS - begin)) s)"

checking "udev comes to rest, and no write was lost"
for looker in "${lookers[@]}"; do end_job "$looker"; done
udevadm settle --timeout=60 || fail "udev still has events"
kernel_log_lacks 'nbd.*(timed out|stuck)|\(WRITE\)|lost .*write|EXT4-fs error|Aborting journal' "writes that were lost"
end_job "$server"

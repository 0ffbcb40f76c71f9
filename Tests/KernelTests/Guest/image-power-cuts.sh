#!/bin/bash
# The power fails while a disk is saved: what the device had not flushed is there in part. The disk is then restored as the
# last save that was complete, or as the one in progress.
#
# The kernel logs every write of the image's file system (dm-log-writes), so one run has as many moments to cut at as it
# has writes. KILLS is the number of cuts for each file system (default 50); SEED repeats a run's choice of moments.
#
# only by name
# in-kernel: --memory 1G --timeout 3000 --modules nbd,ipv6,loop,dm-log-writes
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

requires dmsetup dmsetup
requires python3 python3
cuts=${KILLS:-50} seed=${SEED:-$RANDOM} saves=25
power_cuts=$(realpath "${BASH_SOURCE[0]%/*}/power-cuts")
store=$scratch/store image=$scratch/store/disk.img
device=$scratch/device log=$scratch/log work=$scratch/work states=$scratch/states
mkdir "$store"

# dm ARG...: dmsetup without udev, which is not here.
dm() {
    quietly "dmsetup $1 did not work" dmsetup --noudevsync --noudevrules "$@"
}

# record_saves FILESYSTEM SIZE: changes and saves a disk again and again, and leaves the log of what its image's device was
# asked to write.
record_saves() {
    local device_loop log_loop number
    rm -f "$device" "$log"
    truncate -s "$2" "$device"
    truncate -s 2G "$log"
    quietly "mkfs.$1 did not work" "mkfs.$1" -q "$device"
    cp --sparse=always "$device" "$device.before"
    device_loop=$(losetup --find --show "$device")
    log_loop=$(losetup --find --show "$log")
    dm create recorded --table "0 $(blockdev --getsz "$device_loop") log-writes $device_loop $log_loop"
    mount "/dev/$(dmsetup info -c --noheadings -o blkdevname recorded)" "$store" || fail "the store cannot be mounted"
    up --size 4M --filesystem none --image "$image"
    # Without a change: zeroes.
    head -c 4M /dev/zero | sha256sum | cut -d' ' -f1 >"$states"
    dm message recorded 0 mark 0
    for ((number = 1; number <= saves; number++)); do
        quietly "the disk cannot be changed" "$power_cuts" change /dev/nbd0 "$number" "$states"
        quietly "the disk cannot be saved" ramdisk save --control "$up_pid"
        dm message recorded 0 mark "$number"
    done
    down /dev/nbd0
    up_ends 0
    umount "$store"
    dm remove recorded
    losetup -d "$device_loop" "$log_loop"
    mv "$device.before" "$device"
}

# expect_save MARK MOMENT...: checks what is restored after a cut: the save of this number, or the next one.
expect_save() {
    local found number
    mount -o loop "$work" "$store" || fail "the store cannot be mounted after the cut at ${*:2}"
    # shellcheck disable=SC2016  # the command's own variable
    ramdisk run --size 4M --image "$image" -- sh -c 'nbdcopy "$uri" -' >"$scratch/disk" 2>"$scratch/run.log" ||
        fail "the disk does not start after the cut at ${*:2}: $(<"$scratch/run.log")"
    found=$(sha256sum <"$scratch/disk")
    number=$(grep -nxF "${found%% *}" "$states" | cut -d: -f1) ||
        fail "the disk is no save at all after the cut at ${*:2}"
    # The first line is the save of number 0.
    number=$((number - 1))
    ((number == $1 || number == $1 + 1)) ||
        fail "the disk is save $number after the cut at ${*:2}, but save $1 was complete"
    ((number == $1)) || later=$((later + 1))
    umount "$store" || fail "the store cannot be unmounted"
}

for kind in "ext4 48M" "xfs 320M" "btrfs 128M"; do
    read -r name size <<<"$kind"
    checking "$name: $cuts power cuts in $saves saves, with SEED=$seed"
    record_saves "$name" "$size"
    coproc cutter { exec "$power_cuts" replay "$log" "$device" "$work" "$seed" "$cuts"; }
    later=0
    for ((cut = 0; cut < cuts; cut++)); do
        # shellcheck disable=SC2154  # coproc sets it
        read -r mark moment <&"${cutter[0]}" || fail "the cut $cut cannot be prepared"
        expect_save "$mark" "$moment"
        echo >&"${cutter[1]}"
    done
    # shellcheck disable=SC2154  # coproc sets it
    wait "$cutter_PID" 2>/dev/null || true
    echo "  the save in progress was restored after $later of them"
done

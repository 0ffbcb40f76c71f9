#!/bin/bash
# Disks that `up` cannot serve: each has a clear error, and nothing is overwritten.
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

remember_machine
kept=/dev/shm/ramdisk-nbd/kept

# damaged STATUS TEXT OPTION...: checks that `up` rejects the kept disk, also with --supervise, and leaves it alone.
damaged() {
    local before supervise
    before=$(checksum "$kept")
    for supervise in "" --supervise; do
        refused "$1" "$2" up --backing kept --mount "$mount_point" "${@:3}" $supervise
        [[ $(checksum "$kept") == "$before" ]] || fail "the disk was written to"
    done
    ! mountpoint -q "$mount_point" || fail "it is mounted"
    wait_until 10 no_process || fail "a process is still there"
    device_detached /dev/nbd0 || fail "the device is still attached"
}

# with_byte OFFSET VALUE COMMAND...: runs COMMAND while a byte of the kept disk has another value.
with_byte() {
    local before
    before=$(dd if="$kept" bs=1 skip="$1" count=1 status=none | od -An -tu1)
    put_byte "$1" "$2"
    "${@:3}"
    put_byte "$1" "$before"
}

put_byte() {
    # shellcheck disable=SC2059  # the format is the byte
    printf "\\x$(printf %x "$2")" | dd of="$kept" bs=1 seek="$1" conv=notrunc status=none
}

checking "a backing of the wrong size or version, or with a damaged header"
up --size 32M --backing kept --keep --mount "$mount_point"
head -c 5M /dev/urandom >"$mount_point/file"
checksum "$mount_point/file" >"$scratch/before"
down kept
up_ends 0
damaged 66 "33554432 bytes" --size 64M
with_byte 0 0 damaged 66 "damaged"
with_byte 8 9 damaged 66 "version 9"
with_byte 20 1 damaged 66 "damaged"
with_byte 41 7 damaged 66 "damaged"
size=$(stat -c %s "$kept")
truncate -s +4096 "$kept"
damaged 66 "$((size + 4096)) bytes"
truncate -s "$size" "$kept"
up --backing kept --mount "$mount_point"
checksum "$mount_point/file" | cmp -s - "$scratch/before" || fail "the file is another"
down kept
up_ends 0
nothing_left

checking "memory that is exhausted at the start, for each kind of disk"
refused 71 "not enough memory" up --size 3G
refused 71 "memory for a disk" up --size 3G --backing large
refused 71 "could not start" up --size 3G --supervise
nothing_left

checking "a full disk: its file system says so, and keeps what it has"
up --size 32M --mount "$mount_point"
head -c 5M /dev/urandom >"$mount_point/file"
checksum "$mount_point/file" >"$scratch/before"
! head -c 64M /dev/zero 2>/dev/null >"$mount_point/large" || fail "more fits than there is"
! echo more 2>"$scratch/said" >>"$mount_point/large" || fail "it takes more"
grep -q "No space left" "$scratch/said" || fail "$(<"$scratch/said")"
sync "$mount_point/file"
echo 3 >/proc/sys/vm/drop_caches
checksum "$mount_point/file" | cmp -s - "$scratch/before" || fail "the file is another"
rm "$mount_point/large"
head -c 5M /dev/zero >"$mount_point/next" || fail "nothing fits after a file is removed"
down "$mount_point"
up_ends 0
nothing_left

checking "a sparse disk without memory for more: an error for what does not fit, and only that"
mkdir "$scratch/small"
mount -t tmpfs -o size=16M,mode=700 none "$scratch/small"
up --sparse --size 64M --filesystem none --backing sparse --backing-directory "$scratch/small"
head -c 8M /dev/urandom >"$scratch/data"
dd if="$scratch/data" of="$up_device" bs=1M oflag=direct status=none || fail "8 MiB do not fit"
! dd if="$scratch/data" of="$up_device" bs=1M seek=20 count=8 oflag=direct 2>"$scratch/said" ||
    fail "more fits than there is memory"
grep -qE "Input/output error|No space left" "$scratch/said" || fail "$(<"$scratch/said")"
dmesg | grep -q "nbd0: Other side returned error (28)" || fail "the kernel does not know why"
cmp -n $((8 << 20)) "$scratch/data" "$up_device" || fail "what was written is another"
blkdiscard -o 0 -l $((4 << 20)) "$up_device"
dd if="$scratch/data" of="$up_device" bs=1M seek=40 count=3 oflag=direct status=none ||
    fail "nothing fits after a part was trimmed"
down "$up_device"
up_ends 0
umount "$scratch/small"
nothing_left

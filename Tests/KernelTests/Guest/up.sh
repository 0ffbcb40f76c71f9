#!/bin/bash
# `up` and `down`: from memory to a mounted disk and back to nothing, for each file system, and what
# happens when the disk holds something, is in use, or a step fails.
#
# in-kernel: --memory 640M --modules nbd,ipv6,vfat,nls_cp437,nls_iso8859-1,nls_ascii
#
# takes minutes
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

requires mkfs.vfat dosfstools
remember_machine

checking "up, fio verify, down: nothing is left"
up --size 64M --mount "$scratch/new"
[[ $up_device == /dev/nbd0 && $up_mount == "$scratch/new" ]] || fail "up printed: $(<"$up_output")"
run_fio up --directory="$up_mount" --rw=randwrite --bs=4k --size=24M --iodepth=16 --verify=crc32c
ramdisk list | grep -qE "^/dev/nbd0 +64M +[0-9.]+M +ext4 +$up_mount +- +up$" || fail "$(ramdisk list)"
down "$up_mount"
up_ends 0
[[ ! -e $scratch/new ]] || fail "the mount point that was made is still there"
nothing_left

checking "Ctrl-C does what down does; the device can be chosen, the queues too"
up --size 32M --device /dev/nbd2 --queues 3 --mount "$mount_point" --mount-options noatime
[[ $up_device == /dev/nbd2 ]] || fail "up took $up_device"
grep -q "^/dev/nbd2 $mount_point ext4 .*noatime" /proc/mounts || fail "$(grep nbd /proc/mounts)"
grep -q "attached device=/dev/nbd2 .*queues=3" "$up_log" || fail "there are not 3 queues"
kill -INT "$up_pid"
up_ends 0
[[ -d $mount_point ]] || fail "a mount point that was there is gone"
nothing_left

checking "xfs, btrfs and vfat, in the background"
for kind in "xfs 320M" "btrfs 128M" "vfat 64M"; do
    read -r name size <<<"$kind"
    ramdisk up --daemon --sparse --size "$size" --filesystem "$name" --mount "$mount_point" \
        >"$up_output" || fail "up --filesystem $name"
    [[ $(findmnt -no FSTYPE "$mount_point") == "$name" ]] || fail "it is no $name"
    head -c 5M /dev/urandom >"$mount_point/file"
    down /dev/nbd0
    nothing_left
done

checking "a device alone, and mkfs with options"
up --size 16M
[[ $(<"$up_output") == /dev/nbd0 ]] || fail "up printed: $(<"$up_output")"
ramdisk list --json | grep -q '"device":"/dev/nbd0",.*"size":16777216,"state":"up"' ||
    fail "$(ramdisk list --json)"
down --all
up_ends 0
up --size 32M --filesystem ext4 --mkfs-options "-L label -m 0"
[[ $(blkid -o value -s LABEL /dev/nbd0) == label ]] || fail "it has no label"
down --all
up_ends 0
nothing_left

checking "it can be watched, and is guarded against a machine without memory"
for supervise in "" --supervise; do
    up --size 32M --mount "$mount_point" --busy-poll 0 --control "$scratch/control" $supervise
    head -c 5M /dev/urandom >"$mount_point/file"
    sync "$mount_point/file"
    ramdisk stats --control "$scratch/control" | grep -qE "^write +[1-9]" || fail "no writes are counted"
    kill -USR1 "$up_pid"
    wait_until 10 grep -q 'disk.*resident="\?33554432' "$up_log" || fail "its figures are not told"
    server=$up_pid
    [[ -z $supervise ]] || server=$(pgrep -f -- "--role worker")
    keeps_its_memory "$server" 32
    # The supervisor starts the next worker, so it is protected too.
    [[ -z $supervise ]] || keeps_its_memory "$up_pid" 1
    down "$mount_point"
    up_ends 0
    [[ ! -e $scratch/control ]] || fail "the control socket is still there"
    : >"$up_log"
done
up --size 16M
ramdisk stats --control "$up_pid" >"$scratch/stats" || fail "stats ended with status $?"
grep -q "^server .*pid $up_pid" "$scratch/stats" || fail "it is not found by its pid"
grep -q "^device .*$up_device" "$scratch/stats" || fail "stats does not name the device"
down --all
up_ends 0
nothing_left

checking "a disk that holds something gets no new file system"
truncate -s 32M "$scratch/image"
# With blocks of 1 KiB, which a device with sectors of a page cannot have.
mkfs.ext4 -q -b 1024 -L mine "$scratch/image"
for supervise in "" --supervise; do
    up --size 64M --load "$scratch/image" --filesystem xfs --mount "$mount_point" $supervise
    [[ $(findmnt -no FSTYPE,LABEL "$mount_point") =~ ^ext4\ +mine$ ]] || fail "it was made anew"
    down "$mount_point"
    up_ends 0
done
up --size 32M --backing kept --keep --mount "$mount_point"
echo "was here" >"$mount_point/file"
down kept
up_ends 0
up --backing kept --mount "$mount_point"
[[ $(<"$mount_point/file") == "was here" ]] || fail "the file is gone"
down kept
up_ends 0
nothing_left

checking "a disk in use stays up, and says what to do"
up --size 32M --mount "$mount_point"
exec 9>"$mount_point/open"
refused 69 "$mount_point is in use" down "$mount_point"
kill -TERM "$up_pid"
sleep 1
echo "still here" >&9
[[ $(<"$mount_point/open") == "still here" ]] || fail "the disk does not work any more"
grep -qF "$mount_point is in use" "$up_log" || fail "up did not log it"
# The rejected stop is carried out later.
exec 9>&-
up_ends 0
up --size 32M --filesystem ext4
mount_disk /dev/nbd0
refused 69 "mounted at $mount_point" down /dev/nbd0
unmount_disk
down /dev/nbd0
up_ends 0
nothing_left

checking "a step that fails undoes the ones before it"
up_fails 69 "mkfs.ext4 failed" --size 32M --mount "$scratch/new" --mkfs-options --no-such-option
up_fails 69 "cannot mount" --size 32M --mount "$scratch/new" --mount-options no-such-option
[[ ! -e $scratch/new ]] || fail "the mount point that was made is still there"
up_fails 73 "cannot create the mount point" --size 32M --mount /proc/no/such/place
up_fails 71 "not enough memory" --size 100G
up_fails 66 "no-such-file" --size 32M --load /no-such-file
up_fails 69 "mkfs.ext4 failed" --size 32M --mount "$scratch/new" --mkfs-options --no-such-option \
    --supervise
up_fails 71 "could not start" --size 100G --supervise
# A free device that a program has open is waited for, as the kernel does not attach it.
sleep 1 8</dev/nbd3 &
up --size 16M --device /dev/nbd3
down --all
up_ends 0
sleep 1000 8</dev/nbd3 &
opener=$!
up_fails 69 "/dev/nbd3 is in use" --size 16M --device /dev/nbd3
kill "$opener"
up --size 16M
refused 69 "/dev/nbd0 is in use" up --size 16M --device /dev/nbd0
refused 69 "use ramdisk-nbd down" detach /dev/nbd0
down --all
up_ends 0
nothing_left

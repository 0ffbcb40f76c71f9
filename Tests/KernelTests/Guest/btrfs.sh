#!/bin/bash
# btrfs on the disk: data verified, its own checksums agree, and btrfs check finds nothing wrong.
# in-kernel: --memory 640M
source "${BASH_SOURCE[0]%/*}/lib.sh"
requires mkfs.btrfs btrfs-progs

serve --size 192M
attach /dev/nbd0

checking "mkfs.btrfs makes a file system on it"
quietly "mkfs.btrfs did not work" mkfs.btrfs -q /dev/nbd0
mount_disk /dev/nbd0

checking "fio verifies 32 MiB in a file on it"
run_fio btrfs --directory="$mount_point" --rw=randwrite --bs=16k --size=32M --iodepth=32 \
    --verify=crc32c

checking "btrfs scrub agrees with every checksum"
sync
quietly "btrfs scrub found something wrong" btrfs scrub start -B "$mount_point"

checking "it unmounts, and btrfs check finds nothing wrong"
unmount_disk
quietly "btrfs check found something wrong" btrfs check /dev/nbd0
detach /dev/nbd0
stop

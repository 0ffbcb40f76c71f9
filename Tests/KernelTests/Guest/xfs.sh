#!/bin/bash
# XFS on the disk: data verified, and xfs_repair finds nothing wrong afterwards.
# in-kernel: --memory 768M
source "${BASH_SOURCE[0]%/*}/lib.sh"
requires mkfs.xfs xfsprogs

# The smallest file system of mkfs.xfs has 300 MiB.
serve --size 320M
attach /dev/nbd0

checking "mkfs.xfs makes a file system on it"
quietly "mkfs.xfs did not work" mkfs.xfs -q /dev/nbd0
mount_disk /dev/nbd0

checking "fio verifies 32 MiB in a file on it"
run_fio xfs --directory="$mount_point" --rw=randwrite --bs=4k --size=32M --iodepth=32 \
    --verify=crc32c

checking "it unmounts, and xfs_repair finds nothing wrong"
unmount_disk
quietly "xfs_repair found something wrong" xfs_repair -n /dev/nbd0
detach /dev/nbd0
stop

#!/bin/bash
# A read-only export is a read-only device: it mounts read-only, its content can be read, and every write is
# rejected.
source "${BASH_SOURCE[0]%/*}/lib.sh"
requires mke2fs e2fsprogs

mkdir "$scratch/content"
head -c 3M /dev/urandom >"$scratch/content/random"
quietly "mke2fs could not make an image" \
    mke2fs -q -t ext4 -d "$scratch/content" "$scratch/image" 40M

serve --size 40M --read-only --load "$scratch/image"
attach /dev/nbd0

checking "the kernel knows that it is read-only"
[[ $(blockdev --getro /dev/nbd0) == 1 ]] || fail "blockdev --getro does not give 1"

checking "it has the image's bytes to its end"
dd if=/dev/nbd0 bs=1M iflag=direct status=none | cmp - "$scratch/image" ||
    fail "it does not read as the image"

checking "a write is refused"
if dd if=/dev/urandom of=/dev/nbd0 bs=4k count=1 oflag=direct status=none 2>/dev/null; then
    fail "a write was accepted"
fi

checking "a trim and a write of zeroes are refused"
if blkdiscard /dev/nbd0 2>/dev/null; then
    fail "a trim was accepted"
fi
if blkdiscard --zeroout /dev/nbd0 2>/dev/null; then
    fail "a write of zeroes was accepted"
fi

checking "it does not mount for writing"
# -w: without it, mount falls back to read-only.
if mount -w /dev/nbd0 "$mount_point" 2>/dev/null; then
    fail "it was mounted for writing"
fi

checking "it mounts read-only, and its file is as it was"
mount -o ro /dev/nbd0 "$mount_point" || fail "it cannot be mounted"
cmp "$mount_point/random" "$scratch/content/random" || fail "its file is another"
if touch "$mount_point/new" 2>/dev/null; then
    fail "a file was made on it"
fi
umount "$mount_point"
detach /dev/nbd0
stop

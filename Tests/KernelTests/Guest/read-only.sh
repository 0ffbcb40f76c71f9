#!/bin/bash
# A read-only export is a read-only device: the kernel reads it and refuses to write.
#
# A disk that nobody could write to has no file system on it, and mount has nothing to mount.
source "${BASH_SOURCE[0]%/*}/lib.sh"

serve --size 40M --read-only
attach /dev/nbd0

checking "the kernel knows that it is read-only"
[[ $(blockdev --getro /dev/nbd0) == 1 ]] || fail "blockdev --getro does not give 1"

checking "it reads as zeroes to its end"
dd if=/dev/nbd0 bs=1M iflag=direct status=none | cmp - <(head -c 40M /dev/zero) ||
    fail "it does not read as 40 MiB of zeroes"

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

checking "mkfs.ext4 is refused"
if mkfs.ext4 -q -F /dev/nbd0 >/dev/null 2>&1; then
    fail "mkfs.ext4 made a file system"
fi
detach /dev/nbd0
stop

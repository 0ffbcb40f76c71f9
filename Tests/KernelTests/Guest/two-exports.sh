#!/bin/bash
# Two exports of one server are two disks: attached at once, each keeps its own size and data.
source "${BASH_SOURCE[0]%/*}/lib.sh"

serve --export a=64M --export b=32M
attach /dev/nbd0 -N a
attach /dev/nbd1 -N b

checking "each device has the size of its export"
[[ $(blockdev --getsize64 /dev/nbd0) == $((64 << 20)) ]] || fail "/dev/nbd0 is not 64 MiB"
[[ $(blockdev --getsize64 /dev/nbd1) == $((32 << 20)) ]] || fail "/dev/nbd1 is not 32 MiB"

checking "each disk returns its own data after concurrent writes to both"
head -c 16M /dev/urandom >a.data
head -c 16M /dev/urandom >b.data
dd if=a.data of=/dev/nbd0 bs=256k oflag=direct status=none &
dd if=b.data of=/dev/nbd1 bs=256k oflag=direct status=none
wait $! || fail "writing to /dev/nbd0 did not work"
dd if=/dev/nbd0 bs=256k count=64 iflag=direct status=none | cmp - a.data || fail "a is not intact"
dd if=/dev/nbd1 bs=256k count=64 iflag=direct status=none | cmp - b.data || fail "b is not intact"

checking "fio verifies both at once"
run_fio both --rw=randwrite --bs=4k --size=16M --iodepth=16 --verify=crc32c \
    --filename=/dev/nbd0 --name=other --filename=/dev/nbd1

checking "one of them detached, the other serves on"
detach /dev/nbd0
run_fio alone --filename=/dev/nbd1 --rw=randwrite --bs=4k --size=4M --iodepth=16 --verify=crc32c
detach /dev/nbd1
stop

#!/bin/bash
# 128 requests in flight on the device itself, with blocks of 4 KiB to 2 MiB, all verified; and a
# request of 2 MiB reaches the server in one piece.
# in-kernel: --memory 768M
source "${BASH_SOURCE[0]%/*}/lib.sh"

serve --size 64M
attach /dev/nbd0

checking "the device takes 128 requests at a time, and requests of 2 MiB"
# A scheduler would double the number; without one, it is the driver's own.
echo none >/sys/block/nbd0/queue/scheduler
[[ $(queue_figure /dev/nbd0 nr_requests) == 128 ]] || fail "nr_requests is not 128"
(($(queue_figure /dev/nbd0 max_hw_sectors_kb) >= 2048)) || fail "max_hw_sectors_kb is below 2048"

for block in 4k 64k 512k 2M; do
    checking "fio verifies $block blocks with 128 in flight"
    size=64M
    [[ $block != 4k ]] || size=24M
    run_fio "blocks-of-$block" --filename=/dev/nbd0 --rw=randwrite --bs="$block" --size="$size" \
        --iodepth=128 --verify=crc32c
done

checking "2 MiB blocks go to the server in one piece when the kernel is allowed to"
echo 2048 >/sys/block/nbd0/queue/max_sectors_kb
writes_done() {
    awk '{ print $5 }' /sys/block/nbd0/stat
}
before=$(writes_done)
run_fio whole --filename=/dev/nbd0 --rw=write --bs=2M --size=32M --iodepth=16 --verify=crc32c
writes=$(($(writes_done) - before))
((writes == 16)) || fail "16 blocks of 2 MiB took $writes requests"
detach /dev/nbd0
stop

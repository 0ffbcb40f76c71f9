#!/bin/bash
# What `up` and `attach` set in the kernel's block layer for a device, what they leave, and `list --verbose`.
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

queue=/sys/block/nbd0/queue
# One that is not "none"; without any, the test would show less.
other_scheduler=$(grep -oE "mq-deadline|kyber|bfq" "$queue/scheduler" | head -n 1)
[[ -n $other_scheduler ]] || fail "this kernel has no other scheduler: $(<"$queue/scheduler")"

# setting NAME: prints a setting's value; of a list, the one in brackets.
setting() { sed -E 's/.*\[(.*)\].*/\1/' "$queue/$1"; }

# not_for_memory: gives the device other settings than `up` would, as udev or a user may have done before.
not_for_memory() {
    echo "$other_scheduler" >"$queue/scheduler"
    echo 64 >"$queue/max_sectors_kb"
    echo 16 >"$queue/read_ahead_kb"
    echo 1 >"$queue/nomerges"
}

has_settings_for_memory() {
    [[ $(setting scheduler) == none ]] || fail "the scheduler is $(setting scheduler)"
    (($(setting max_sectors_kb) == 1024)) || fail "max_sectors_kb is $(setting max_sectors_kb)"
}

checking "up sets the scheduler and the largest request, and nothing else"
not_for_memory
up --size 32M --device /dev/nbd0 --queues 1 --filesystem none
has_settings_for_memory
[[ $(setting read_ahead_kb),$(setting nomerges) == 16,1 ]] || fail "read_ahead_kb or nomerges was changed"
run_fio settings --filename=/dev/nbd0 --rw=randwrite --bs=1M --size=32M --iodepth=8 --verify=crc32c
ramdisk list --verbose | grep -qE "^/dev/nbd0 .* up +1 +none +1024K +16K +1 +[0-2]$" || fail "$(ramdisk list --verbose)"
ramdisk list --json | grep -q '"settings":{"blockLayer":{"max_sectors_kb":1024,.*"scheduler":"none"},"queues":1}' ||
    fail "$(ramdisk list --json)"
down /dev/nbd0
up_ends 0

checking "--keep-device-settings leaves all of them"
not_for_memory
before=$(setting scheduler)
up --size 32M --device /dev/nbd0 --queues 1 --filesystem none --keep-device-settings
[[ $(setting scheduler),$(setting max_sectors_kb) == "$before,64" ]] || fail "a setting was changed"
down /dev/nbd0
up_ends 0

checking "a server that takes over leaves what a user has set meanwhile"
up --size 32M --device /dev/nbd0 --queues 1 --filesystem none --backing settings --keep
has_settings_for_memory
echo 256 >"$queue/max_sectors_kb"
kill -KILL "$up_pid"
wait "$up_pid" || true
up --device /dev/nbd0 --queues 1 --filesystem none --backing settings
(($(setting max_sectors_kb) == 256)) || fail "max_sectors_kb is $(setting max_sectors_kb)"
down /dev/nbd0
up_ends 0

checking "attach sets them too"
serve --size 32M --unix "$scratch/sock"
not_for_memory
device=$(ramdisk attach "nbd+unix:///?socket=$scratch/sock" /dev/nbd0) || fail "attach ended with status $?"
has_settings_for_memory
ramdisk detach "$device" || fail "detach ended with status $?"
stop

#!/bin/bash
# `up --supervise --image`: the file system is frozen for the instant of a save, and neither a dead worker nor a dead
# supervisor leaves it frozen.
#
# KILLS is how often the worker is killed while it saves (default 10).
#
# in-kernel: --memory 768M --modules nbd,ipv6,loop
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"
source "${BASH_SOURCE[0]%/*}/image-lib.sh"

kills=${KILLS:-10}
remember_machine

# expect_writes: checks that a file can be written: nothing is frozen, and the worker serves.
expect_writes() {
    timeout 60 dd if=/dev/zero of="$mount_point/probe" bs=4k count=1 oflag=direct status=none ||
        fail "the disk takes no writes"
}

options=(--supervise --sparse --image "$image" --mount "$mount_point" --backing frozen)

checking "what is saved of a mounted disk in use is clean, at intervals and on command"
new_store 400M
up --size 64M --save-every 1s "${options[@]}"
write_files 5M
start_load
begin=$(saves)
wait_until 60 has_saved $((begin + 2)) || fail "it is not saved every second"
quietly "save did not work" ramdisk save --control "$up_pid" "$copy"
expect_clean ext4 "$copy"
rm "$copy"*
ramdisk list | grep -q " ago in " || fail "list says: $(ramdisk list)"
ramdisk list --json | grep -qF "\"path\":\"$image\"" || fail "list --json says: $(ramdisk list --json)"

checking "the worker is killed $kills times, sometimes during a save: the disk stays up"
for ((turn = 0; turn < kills; turn++)); do
    begin=$(saves)
    wait_until 60 has_saved $((begin + 1)) || fail "it is not saved any more"
    # Nearly a second after a save the next one begins.
    sleep "0.$((RANDOM % 3 + 7))"
    kill -KILL "$(worker_pid)"
    expect_writes
done
echo "  $(grep -c "the worker has died.* frozen=" "$up_log" || true) of them hit a freeze"
kill -0 "$load_pid" || { cat "$scratch/load.out" >&2; fail "fio does not write any more"; }
kill "$load_pid"
expect_end "$load_pid"

checking "kill -9 of the supervisor in the instant of a save, when the file system is frozen: the worker thaws it"
# The worker thaws what it may have asked for itself.
begin=$(saves)
wait_until 60 has_saved $((begin + 1)) || fail "it is not saved any more"
kill_up frozen
expect_writes
up "${options[@]}"
expect_writes
expect_files
down "$mount_point"
up_ends 0
expect_saved

checking "down saves a disk whose supervisor is dead and whose worker serves"
up "${options[@]}"
write_files 5M
kill_up running
expect_writes
exec 7<"$mount_point/a/7"
refused 69 "is in use" down "$mount_point"
# The worker serves on.
expect_writes
exec 7<&-
down "$mount_point"
expect_saved
drop_store
nothing_left

#!/bin/bash
# `up` killed with SIGKILL, at any moment: `down` leaves nothing, in time, and saves the data that can be saved.
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

remember_machine

kill_up() {
    kill -KILL "$up_pid"
    wait "$up_pid" 2>/dev/null || true
}

checking "killed when it serves by itself: the disk is gone, down takes the rest away in time"
up --size 32M --mount "$mount_point"
echo "not written yet" >"$mount_point/file"
kill_up
ramdisk list | grep -q "orphaned" || fail "$(ramdisk list)"
down "$mount_point"
nothing_left

checking "killed with --backing: down writes what was not written, and keeps what is to be kept"
up --size 32M --mount "$mount_point" --backing kept --keep
echo "not written yet" >"$mount_point/file"
kill_up
down kept
up --mount "$mount_point" --backing kept
[[ $(<"$mount_point/file") == "not written yet" ]] || fail "the file is gone"
down kept
up_ends 0
nothing_left

checking "killed with --backing: up continues with the device and the mount"
up --size 32M --mount "$mount_point" --backing again --queues 2
exec 9>"$mount_point/open"
echo "first" >&9
kill_up
up --mount "$mount_point" --backing again
[[ $up_device == /dev/nbd0 && $up_mount == "$mount_point" ]] || fail "up printed: $(<"$up_output")"
echo "second" >&9
sync "$mount_point/open"
echo 3 >/proc/sys/vm/drop_caches
[[ $(<"$mount_point/open") == $'first\nsecond' ]] || fail "it reads: $(<"$mount_point/open")"
exec 9>&-
down again
up_ends 0
nothing_left

checking "the supervisor killed: its worker serves on, down takes all of it away"
up --size 32M --mount "$mount_point" --supervise
worker=$(worker_pid)
kill_up
head -c 5M /dev/urandom >"$mount_point/file"
sync "$mount_point/file"
kill -0 "$worker" || fail "the worker has died"
down "$mount_point"
nothing_left

checking "killed at any moment of its start: down --all leaves nothing"
for ((round = 0; round < ${ROUNDS:-8}; round++)); do
    options=()
    ((round % 2 == 0)) || options=(--supervise)
    "$RAMDISK_NBD" up --size 32M --mount "$mount_point" "${options[@]}" >"$scratch/killed" 2>&1 &
    up_pid=$!
    sleep "0.$((RANDOM % 70 + 10))"
    kill_up
    down --all
done
wait_until 10 no_process || fail "a process is still there"
# A worker whose supervisor was killed before the record named it ends by itself. Until then it may have made the empty
# directory of its control socket again.
down --all
nothing_left

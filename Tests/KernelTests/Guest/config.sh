#!/bin/bash
# `config run`: the disk of a file is the disk of its command line, with a worker that is replaced and in the background.
# `doctor` finds a kernel in which `up` can work.
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

remember_machine
file=$scratch/disk.toml

worker_is_other() {
    local pid
    pid=$(worker_pid)
    [[ -n $pid && $pid != "$1" ]] && kill -0 "$pid" 2>/dev/null
}

checking "doctor: nothing is missing"
ramdisk doctor >"$scratch/doctor" || fail "doctor says: $(<"$scratch/doctor")"
grep -qE "^ok +nbd driver +loaded: nbds_max" "$scratch/doctor" || fail "doctor says: $(<"$scratch/doctor")"

checking "a file: the process becomes up, and a killed worker is replaced"
printf '%s\n' 'size = "64M"' "mount = \"$mount_point\"" 'mount-options = "noatime"' 'supervise = true' \
    'mkfs-options = "-L label -m 0"' 'queues = 2' >"$file"
starts_up config run "$file"
[[ $up_device == /dev/nbd0 && $up_mount == "$mount_point" ]] || fail "it printed: $(<"$up_output")"
grep -q "^/dev/nbd0 $mount_point ext4 .*noatime" /proc/mounts || fail "$(grep nbd /proc/mounts)"
[[ $(blkid -o value -s LABEL /dev/nbd0) == label ]] || fail "it has no label"
tr '\0' ' ' <"/proc/$up_pid/cmdline" | grep -qF -- " up --size=64M --mount=$mount_point " ||
    fail "the command line is $(tr '\0' ' ' <"/proc/$up_pid/cmdline")"
head -c 10M /dev/urandom >"$mount_point/file"
sync "$mount_point/file"
sum=$(md5sum <"$mount_point/file")
# The next worker must not read the file again.
echo 'size = "32M"' >"$file"
worker=$(worker_pid)
kill -KILL "$worker"
wait_until 30 worker_is_other "$worker" || fail "no other worker serves"
echo 3 >/proc/sys/vm/drop_caches
[[ $(md5sum <"$mount_point/file") == "$sum" ]] || fail "the file is another one"
down "$mount_point"
up_ends 0
nothing_left

checking "a file with daemon: the command returns when the disk is there"
printf '%s\n' 'size = "32M"' "mount = \"$mount_point\"" 'daemon = true' >"$file"
ramdisk config run "$file" >"$up_output" || fail "config run ended with status $?"
[[ $(<"$up_output") == "/dev/nbd0 $mount_point" ]] || fail "it printed: $(<"$up_output")"
down "$mount_point"
nothing_left

checking "a file that is wrong starts nothing"
echo 'queues = 33' >"$file"
refused 78 "disk.toml:1: queues: " config run "$file"
nothing_left

#!/bin/bash
# Mounted clones: of a file, and of a snapshot of another disk that is mounted and in use.
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

remember_machine
image=$scratch/template.img
truncate -s 32M "$image"
quietly "mkfs.ext4 did not work" mkfs.ext4 -q "$image"
checksum "$image" >"$scratch/image.before"
clone=$scratch/clone
mkdir "$clone"

checking "a clone of a file is mounted, and what is written to it is not in the file"
up --template "$image" --mount "$mount_point"
head -c 4M /dev/urandom >"$mount_point/file"
sync -f "$mount_point"
down "$mount_point"
up_ends 0
checksum "$image" | cmp -s - "$scratch/image.before" || fail "the file is another"
nothing_left

checking "a clone of a snapshot of a mounted disk has its files, and leaves the disk alone"
up --size 64M --mount "$mount_point"
original=$up_pid
head -c 8M /dev/urandom >"$mount_point/file"
checksum "$mount_point/file" >"$scratch/file.before"
sync -f "$mount_point"
ramdisk snapshot create @ready --control "$original" >/dev/null || fail "there is no snapshot"
: >"$mount_point/later"
up --template @ready --template-server "$original" --mount "$clone"
checksum "$clone/file" | cmp -s - "$scratch/file.before" || fail "the clone's file is another"
[[ ! -e $clone/later ]] || fail "the clone has a file that was made after the snapshot"
head -c 8M /dev/zero >"$clone/file"
sync -f "$clone"
echo 3 >/proc/sys/vm/drop_caches
checksum "$mount_point/file" | cmp -s - "$scratch/file.before" || fail "the disk's file has changed"

checking "the clone outlives the disk"
second=$up_pid up_pid=$original
down "$mount_point"
up_ends 0
[[ $(stat -c %s "$clone/file") == $((8 << 20)) ]] || fail "the clone's file is gone"
up_pid=$second
down "$clone"
up_ends 0
nothing_left

checking "a snapshot that does not exist, and a server that has none"
up --size 16M --filesystem none
refused 69 "no-such" up --template @no-such --template-server "$up_pid"
down --all
up_ends 0
nothing_left

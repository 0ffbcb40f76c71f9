#!/bin/bash
# `up --image` with an image so large that the disk is mounted while it is restored: the files are right at once, what is
# written meanwhile is saved, a kill leaves the image as it was, and no program reads a wrong byte of a damaged one.
#
# in-kernel: --memory 1G --modules nbd,ipv6,loop
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"
source "${BASH_SOURCE[0]%/*}/image-lib.sh"

restores() { grep -c "restored the disk" "$up_log" || true; }
has_restored() { (($(restores) >= $1)); }

# up_uncached: brings the disk up, with the image on the device only.
up_uncached() {
    echo 3 >/proc/sys/vm/drop_caches
    up --image "$image" --mount "$mount_point" "$@"
}

remember_machine
new_store 300M
up --size 160M --image "$image" --mount "$mount_point"
write_files 100M
down "$mount_point"
up_ends 0

for options in "" "--sparse" "--restore-first"; do
    checking "the files are right at once with $options, and what is written is saved"
    begin=$(restores)
    # shellcheck disable=SC2086  # no option, or one
    up_uncached $options
    echo "$options" >"$mount_point/a/new"
    expect_files
    wait_until 60 has_restored $((begin + 1)) || fail "it is not restored"
    down "$mount_point"
    up_ends 0
    expect_clean ext4 "$image"
done

checking "down at once saves what was written"
up_uncached
[[ $(<"$mount_point/a/new") == --restore-first ]] || fail "it was not saved"
echo last >"$mount_point/a/new"
down "$mount_point"
up_ends 0
expect_clean ext4 "$image"

checking "kill -9 while it is restored leaves the image as it was"
before=$(sha256sum <"$image")
for _ in 1 2 3; do
    up_uncached
    kill_up running
    timeout 60 "$RAMDISK_NBD" down --force "$mount_point" || fail "down --force ended with status $?"
    [[ $(sha256sum <"$image") == "$before" ]] || fail "the image has changed"
done

checking "a program that reads a damaged part gets an error, and the image is not saved over"
head -c 64 /dev/urandom | dd status=none of="$image" bs=64 seek=$((80 << 14)) conv=notrunc
before=$(sha256sum <"$image")
up_uncached
[[ $(<"$mount_point/a/new") == last ]] || fail "the last change was not saved"
! cat "$mount_point/a/b/random" >"$scratch/read" 2>"$scratch/said" || fail "the damaged file can be read"
grep -q "Input/output error" "$scratch/said" || fail "cat said: $(<"$scratch/said")"
rm "$scratch/read"
wait_until 60 grep -q "piece at offset $((80 << 20))" "$up_log" || fail "the log does not say so"
ramdisk list >"$scratch/list"
grep -q "restoring [0-9]* %" "$scratch/list" || fail "list says: $(<"$scratch/list")"
grep -q "not all restored from $image" "$scratch/list" || fail "list says: $(<"$scratch/list")"
status=0
timeout 60 "$RAMDISK_NBD" down --force "$mount_point" || status=$?
((status == 74)) || fail "down --force ended with status $status"
expect_end "$up_pid"
wait "$up_pid" || true
[[ $(sha256sum <"$image") == "$before" ]] || fail "the damaged image has changed"
drop_store
nothing_left

#!/bin/bash
# `up --image`: the files on the disk are there at the next start, after `down` and after kill -9, and the file system in
# the image is clean.
#
# in-kernel: --memory 768M --modules nbd,ipv6,loop
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"
source "${BASH_SOURCE[0]%/*}/image-lib.sh"

remember_machine

for kind in "ext4 64M" "xfs 320M" "btrfs 128M"; do
    read -r name size <<<"$kind"
    checking "$name: down saves it, up restores it, and the file system in the image is clean"
    new_store 400M
    up --sparse --size "$size" --filesystem "$name" --image "$image" --mount "$mount_point"
    write_files 5M
    down "$mount_point"
    up_ends 0
    expect_clean "$name" "$image"
    up --sparse --image "$image" --mount "$mount_point"
    [[ $(findmnt -no FSTYPE "$mount_point") == "$name" ]] || fail "it is no $name"
    expect_files
    rm "$mount_point/a/7"
    echo "is new" >"$mount_point/a/8"
    down "$mount_point"
    up_ends 0
    expect_clean "$name" "$image"

    checking "$name: kill -9 while fio writes: the last save is there"
    up --sparse --image "$image" --save-every 1s --mount "$mount_point"
    [[ ! -e $mount_point/a/7 && $(<"$mount_point/a/8") == "is new" ]] || fail "it is an older save"
    write_files 5M
    start_load
    # The first of two saves may have begun before the files were written. Nothing else syncs them.
    begin=$(saves)
    wait_until 60 has_saved $((begin + 2)) || fail "it is not saved every second"
    # A file that does not change any more, as the image does. XFS leaves a record in its log when it is frozen.
    if [[ $name != xfs ]]; then
        quietly "save did not work" ramdisk save --control "$up_pid" "$copy"
        expect_clean "$name" "$copy"
        rm "$copy"*
    fi
    kill -0 "$load_pid" || { cat "$scratch/load.out" >&2; fail "fio does not write any more"; }
    kill_up running
    timeout 60 "$RAMDISK_NBD" down --force "$mount_point" || fail "down --force ended with status $?"
    expect_end "$load_pid"
    up --sparse --image "$image" --mount "$mount_point"
    expect_files
    down "$mount_point"
    up_ends 0
    expect_clean "$name" "$image"
    drop_store
    nothing_left
done

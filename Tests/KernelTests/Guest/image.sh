#!/bin/bash
# `up --image`: the files on the disk are there at the next start, after `down` and after kill -9, and the file system in
# the image is clean. A disk that cannot be saved stays up.
#
# in-kernel: --memory 768M --modules nbd,ipv6,loop
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

store=$scratch/store image=$scratch/store/disk.img copy=$scratch/store/copy.img
mkdir "$store"

# new_store SIZE: mounts an empty ext4 for images. It is a real one, on a device, so fsync does something.
new_store() {
    drop_store
    truncate -s "$1" "$scratch/store.ext4"
    quietly "mkfs.ext4 did not work" mkfs.ext4 -q "$scratch/store.ext4"
    mount -o loop "$scratch/store.ext4" "$store" || fail "the store cannot be mounted"
}

drop_store() {
    ! mountpoint -q "$store" || umount "$store" || fail "the store cannot be unmounted"
    rm -f "$scratch/store.ext4"
}

# expect_clean FILESYSTEM FILE: checks the file system in a file, and changes nothing. Its journal must be empty.
expect_clean() {
    case $1 in
    ext4)
        quietly "e2fsck found something wrong in $2" e2fsck -fn "$2"
        ! grep -i "journal" "$scratch/printed" || fail "e2fsck found a journal to replay in $2"
        ;;
    xfs) quietly "xfs_repair found something wrong in $2" xfs_repair -n -f "$2" ;;
    btrfs) quietly "btrfs check found something wrong in $2" btrfs check "$2" ;;
    esac
}

# write_files: writes files of several sizes to the disk, and notes their checksums.
write_files() {
    mkdir -p "$mount_point/a/b"
    head -c "${1:-5M}" /dev/urandom >"$mount_point/a/b/random"
    for ((i = 0; i < 100; i++)); do echo "$i $RANDOM" >"$mount_point/a/$i"; done
    (cd "$mount_point" && find a -type f -exec sha256sum {} +) >"$scratch/sums"
}

expect_files() {
    (cd "$mount_point" && quietly "the files are not what they were" sha256sum -c "$scratch/sums")
}

saves() { grep -c "saved the disk" "$up_log" || true; }
has_saved() { (($(saves) >= $1)); }

# start_load: writes to the disk until its device is gone.
start_load() {
    fio --name=load --directory="$mount_point" --ioengine=libaio --direct=1 --rw=randwrite --bs=4k \
        --size=8M --iodepth=8 --time_based --runtime=300 >"$scratch/load.out" 2>&1 &
    load_pid=$!
    wait_until 60 test -s "$mount_point/load.0.0" || { cat "$scratch/load.out" >&2; fail "fio does not write"; }
}

expect_end() {
    wait_until 30 process_gone "$1" && return
    ps axo pid,stat,wchan:32,args >&2
    fail "the process $1 does not end"
}

# kill_up: ends `up` with SIGKILL. The file system is frozen first with an argument, as in the instant of a save.
kill_up() {
    [[ -z ${1-} ]] || fsfreeze --freeze "$mount_point"
    kill -KILL "$up_pid"
    wait "$up_pid" 2>/dev/null || true
}

remember_machine

for kind in "ext4 64M" "xfs 320M" "btrfs 128M"; do
    read -r name size <<<"$kind"
    checking "$name: down saves it, up restores it, and the file system in the image is clean"
    new_store 400M
    up --sparse --size "$size" --filesystem "$name" --image "$image" --mount "$mount_point"
    write_files
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
    write_files
    start_load
    # The first of two saves may have begun before the files were written. Nothing else syncs them.
    begin=$(saves)
    wait_until 60 has_saved $((begin + 2)) || fail "it is not saved every second"
    for turn in 1 2 3; do
        # A file that does not change any more, as the image does. XFS leaves a record in its log when it is frozen.
        quietly "save did not work" ramdisk save --control "$up_pid" "$copy"
        [[ $name == xfs ]] || expect_clean "$name" "$copy"
    done
    rm "$copy"*
    kill -0 "$load_pid" || { cat "$scratch/load.out" >&2; fail "fio does not write any more"; }
    kill_up
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

checking "kill -9 in the instant of a save, when the file system is frozen: nothing waits without end"
new_store 64M
up --sparse --size 32M --image "$image" --mount "$mount_point"
start_load
kill_up frozen
timeout 60 "$RAMDISK_NBD" down --force "$mount_point" || fail "down --force ended with status $?"
expect_end "$load_pid"
nothing_left
options=(--sparse --image "$image" --mount "$mount_point" --backing again)
up --size 32M "${options[@]}"
kill_up frozen
up "${options[@]}"
# Still frozen, it would never end.
write_files &
expect_end $!
expect_files
kill_up frozen
down "$mount_point"
expect_clean ext4 "$image"
up --image "$image" --mount "$mount_point"
expect_files
down "$mount_point"
up_ends 0
drop_store
nothing_left

for supervise in "" --supervise; do
    checking "a disk that cannot be saved stays up, mounted${supervise:+, with $supervise}, until it can"
    new_store 96M
    up --sparse --size 64M --image "$image" --mount "$mount_point" $supervise
    write_files 20M
    head -c 120M /dev/zero >"$store/filler" 2>/dev/null || true
    refused 74 "the disk is not saved, so it stays up" down "$mount_point"
    grep -qF "No space left on device" "$scratch/said" || fail "down said: $(<"$scratch/said")"
    grep -qF "the disk is not saved" "$up_log" || fail "up did not log it"
    [[ ! -e $image ]] || fail "there is an image"
    for ((turn = 0; turn < 30; turn++)); do
        mountpoint -q "$mount_point" || fail "it is not mounted any more"
        sleep 0.1
    done
    expect_files
    write_files
    kill -0 "$up_pid" || fail "up has ended"
    rm "$store/filler"
    up_ends 0
    expect_clean ext4 "$image"
    up --sparse --image "$image" --mount "$mount_point" $supervise
    expect_files
    if [[ -n $supervise ]]; then
        checking "a worker that is killed does not begin with the image again"
        write_files
        kill -KILL "$(worker_pid)"
        expect_files
    fi
    down "$mount_point"
    up_ends 0
    expect_clean ext4 "$image"
    up --sparse --image "$image" --mount "$mount_point"
    expect_files
    down "$mount_point"
    up_ends 0
    drop_store
    nothing_left
done

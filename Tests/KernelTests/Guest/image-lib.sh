# shellcheck shell=bash
# Functions for the tests of `up --image`. Sourced after up-lib.sh.

# shellcheck disable=SC2154  # lib.sh sets scratch and mount_point, up-lib.sh the rest
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

# write_files SIZE: writes files of several sizes to the disk, and notes their checksums.
write_files() {
    mkdir -p "$mount_point/a/b"
    head -c "$1" /dev/urandom >"$mount_point/a/b/random"
    for ((i = 0; i < 100; i++)); do echo "$i $RANDOM" >"$mount_point/a/$i"; done
    (cd "$mount_point" && find a -type f -exec sha256sum {} +) >"$scratch/sums"
}

expect_files() {
    (cd "$mount_point" && quietly "the files are not what they were" sha256sum -c "$scratch/sums")
}

# expect_saved: checks the file system in the image, and its files on a disk that is made of it.
expect_saved() {
    expect_clean ext4 "$image"
    up --sparse --image "$image" --mount "$mount_point"
    expect_files
    down "$mount_point"
    up_ends 0
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

# kill_up running|frozen: ends `up` with SIGKILL; with "frozen" it freezes the file system first, as in the instant of a
# save.
kill_up() {
    [[ $1 != frozen ]] || fsfreeze --freeze "$mount_point"
    kill -KILL "$up_pid"
    wait "$up_pid" 2>/dev/null || true
}

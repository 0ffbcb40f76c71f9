#!/bin/bash
# `up --image` when a save does not come to its end: a server that is killed while the file system is frozen leaves no
# process that waits without end, and a disk that cannot be saved stays up, unless `down` is forced.
#
# in-kernel: --memory 768M --modules nbd,ipv6,loop
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"
source "${BASH_SOURCE[0]%/*}/image-lib.sh"

remember_machine

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
write_files 5M &
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
    write_files 5M
    kill -0 "$up_pid" || fail "up has ended"
    rm "$store/filler"
    up_ends 0
    expect_clean ext4 "$image"
    up --sparse --image "$image" --mount "$mount_point" $supervise
    expect_files
    if [[ -n $supervise ]]; then
        checking "a worker that is killed does not begin with the image again"
        write_files 5M
        kill -KILL "$(worker_pid)"
        expect_files
    fi
    down "$mount_point"
    up_ends 0
    expect_saved
    drop_store
    nothing_left
done

for supervise in "" --supervise; do
    checking "down --force takes down a disk that cannot be saved${supervise:+, with $supervise}: the last save remains"
    new_store 96M
    up --sparse --size 64M --image "$image" --mount "$mount_point" $supervise
    write_files 1M
    quietly "save did not work" ramdisk save --control "$up_pid"
    cp "$scratch/sums" "$scratch/saved-sums"
    head -c 30M /dev/urandom >"$mount_point/more"
    sync
    head -c 120M /dev/zero >"$store/filler" 2>/dev/null || true
    refused 74 "--force takes the disk down without a save" down "$mount_point"
    ramdisk list | grep -qF "not saved to $image: " || fail "list says: $(ramdisk list)"
    refused 74 "after the last save to $image may be lost" down --force "$mount_point"
    grep -qF "No space left on device" "$scratch/said" || fail "down said: $(<"$scratch/said")"
    up_ends 74
    grep -qF "after the last save to $image is lost" "$up_log" || fail "up did not say it"
    rm "$store/filler"
    up --sparse --image "$image" --mount "$mount_point"
    cp "$scratch/saved-sums" "$scratch/sums"
    expect_files
    [[ ! -e $mount_point/more ]] || fail "it is not the last save"
    down --force "$mount_point"
    up_ends 0
    drop_store
    nothing_left
done

checking "down --force, with --supervise, when the supervisor is dead: no record is left"
new_store 96M
up --sparse --size 64M --image "$image" --mount "$mount_point" --supervise
write_files 1M
quietly "save did not work" ramdisk save --control "$up_pid"
cp "$scratch/sums" "$scratch/saved-sums"
head -c 30M /dev/urandom >"$mount_point/more"
sync
head -c 120M /dev/zero >"$store/filler" 2>/dev/null || true
kill_up running
refused 74 "No space left on device" down "$mount_point"
refused 74 "after the last save to $image is lost" down --force "$mount_point"
[[ -z $(ls /run/ramdisk-nbd 2>/dev/null) ]] || fail "records are left: $(ls /run/ramdisk-nbd)"
rm "$store/filler"
up --sparse --image "$image" --mount "$mount_point"
cp "$scratch/saved-sums" "$scratch/sums"
expect_files
down "$mount_point"
up_ends 0
drop_store
nothing_left

failed_again() { [[ $(record failed-save) != "$failure" ]]; }

for supervise in "" --supervise; do
    checking "SIGUSR2${supervise:+, with $supervise}, takes a disk down with a save if that works by then"
    new_store 96M
    up --sparse --size 64M --image "$image" --mount "$mount_point" $supervise
    write_files 20M
    head -c 120M /dev/zero >"$store/filler" 2>/dev/null || true
    refused 74 "the disk is not saved, so it stays up" down "$mount_point"
    # Between two attempts: the next one then begins after the signal.
    failure=$(record failed-save)
    wait_until 10 failed_again || fail "it is not tried again"
    kill -STOP "$up_pid"
    rm "$store/filler"
    kill -USR2 "$up_pid"
    kill -CONT "$up_pid"
    up_ends 0
    expect_saved
    drop_store
    nothing_left
done

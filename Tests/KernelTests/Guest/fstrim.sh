#!/bin/bash
# fstrim releases memory: after a file is deleted, the memory that the server reports for the disk falls by about the
# size of the file.
source "${BASH_SOURCE[0]%/*}/lib.sh"

# resident_bytes: prints the memory of the disk. After SIGUSR1 the server logs it, one line for each export.
resident_bytes() {
    local before
    before=$(figures | wc -l)
    kill -USR1 "$server_pid"
    wait_until 5 more_figures_than "$before" || fail "SIGUSR1 logged no resident=... figure"
    figures | tail -n 1
}

figures() {
    sed -nE 's/.*\bresident=([0-9]+).*/\1/p' "$server_log"
}

more_figures_than() {
    (($(figures | wc -l) > $1))
}

mebibytes() {
    echo "$(($1 >> 20)) MiB"
}

serve --sparse --size 128M
attach /dev/nbd0

checking "a new disk takes up next to no memory"
new=$(resident_bytes)
((new < 4 << 20)) || fail "it takes up $(mebibytes "$new")"

quietly "mkfs.ext4 did not work" \
    mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 /dev/nbd0
mount_disk /dev/nbd0
empty=$(resident_bytes)

checking "a file of 64 MiB takes up at least as much"
head -c 64M /dev/urandom >"$mount_point/file"
sync
full=$(resident_bytes)
((full >= empty + (64 << 20))) || fail "$(mebibytes "$empty") became $(mebibytes "$full")"

checking "after rm and fstrim, at least 60 MiB of it are free again"
rm "$mount_point/file"
sync
quietly "fstrim did not work" fstrim "$mount_point"
trimmed=$(resident_bytes)
((trimmed <= full - (60 << 20))) || fail "$(mebibytes "$full") became $(mebibytes "$trimmed")"
echo "  new $(mebibytes "$new"), ext4 $(mebibytes "$empty"), with the file $(mebibytes "$full")," \
    "trimmed $(mebibytes "$trimmed")"

checking "what the trim left is intact"
unmount_disk
quietly "e2fsck found something wrong" e2fsck -fn /dev/nbd0

checking "what was trimmed takes data again"
mount_disk /dev/nbd0
run_fio again --directory="$mount_point" --rw=randwrite --bs=4k --size=16M --iodepth=16 \
    --verify=crc32c
unmount_disk
detach /dev/nbd0
stop

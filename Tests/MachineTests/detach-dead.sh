#!/bin/bash
# A device whose server is dead can be detached; where something could be lost, with --force (B2).
source "${BASH_SOURCE[0]%/*}/lib.sh"

# serve_disk NAME SIZE: a server on a socket of its own; sets server.
serve_disk() {
    in_background "$RAMDISK_NBD" serve --size "$2" --unix "$scratch/$1"
    server=$job
    wait_until 30 test -S "$scratch/$1" || fail "the server did not start"
}

attach_disk() { ramdisk attach "nbd+unix:///?socket=$scratch/$1" "${@:2}"; }

checking "nothing to lose: detach is enough"
serve_disk a 32M
device=$(attach_disk a) || fail "attach failed"
udevadm settle --timeout=60
end_job "$server"
ramdisk detach "$device" || fail "detach ended with status $?"
device_detached "$device" || fail "it is still attached"

checking "what was not written out: detach refuses and names --force, which does it"
serve_disk b 32M
device=$(attach_disk b) || fail "attach failed"
udevadm settle --timeout=60
# Held open: the last close writes everything out. Written when the server is dead: before, udev may have it written out
# when it reads the partitions.
exec 8>"$device"
end_job "$server"
sleep 0.5
dd if=/dev/urandom of=/dev/fd/8 bs=64k count=8 conv=notrunc status=none
refused "--force" detach "$device"
exec 8>&-
ramdisk detach --force "$device" || fail "detach --force ended with status $?"
wait_until 10 device_detached "$device" || fail "it is still attached"

checking "mounted: detach refuses; --force detaches it all the same, and umount ends it"
serve_disk c 64M
device=$(attach_disk c) || fail "attach failed"
quietly "mkfs failed" mkfs.ext4 -q "$device"
mkdir -p /mnt/r
mount "$device" /mnt/r
end_job "$server"
refused "mounted|/mnt/r" detach "$device"
ramdisk detach --force "$device" || fail "detach --force ended with status $?"
umount /mnt/r || fail "umount failed"
wait_until 10 device_detached "$device" || fail "it is still attached"

checking "a member of a RAID 1 is replaced"
serve_disk left 64M
left=$(attach_disk left)
serve_disk right 64M
right=$(attach_disk right --dead-connection-timeout 0)
quietly "mdadm failed" mdadm --create /dev/md/rig --run --level=1 --raid-devices=2 --metadata=1.2 \
    "$left" "$right"
dd if=/dev/urandom of=/dev/md/rig bs=1M count=16 oflag=direct status=none
end_job "$server"
dd if=/dev/urandom of=/dev/md/rig bs=1M count=16 oflag=direct status=none || fail "the RAID failed"
mdadm --manage /dev/md/rig --fail "$right" --remove "$right" >"$scratch/said" 2>&1 ||
    mdadm --manage /dev/md/rig --remove "$right" >"$scratch/said" 2>&1 || { cat "$scratch/said" >&2; fail "mdadm"; }
ramdisk detach "$right" || ramdisk detach --force "$right" || fail "the dead member cannot be detached"
serve_disk new 64M
new=$(attach_disk new)
quietly "mdadm --add failed" mdadm --manage /dev/md/rig --add "$new"
wait_until 120 grep -q '\[UU\]' /proc/mdstat || { cat /proc/mdstat >&2; fail "it is not rebuilt"; }
mdadm --stop /dev/md/rig 2>/dev/null
udevadm settle --timeout=60
for device in "$left" "$new"; do
    ramdisk detach "$device" || fail "detach $device failed"
done
for job in "${jobs_started[@]}"; do end_job "$job"; done

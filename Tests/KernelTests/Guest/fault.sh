#!/bin/bash
# SIGTERM while the disk is mounted: the server ends with status 0, and nothing hangs afterwards:
# not the mount, not the unmounting, not nbd-client.
source "${BASH_SOURCE[0]%/*}/lib.sh"

# in_time COMMAND...: returns the status of COMMAND, or 124 when it hangs.
in_time() {
    timeout --kill-after=5 20 "$@"
}

serve --size 40M
attach /dev/nbd0
quietly "mkfs.ext4 did not work" mkfs.ext4 -q /dev/nbd0
mount_disk /dev/nbd0
echo "was here" >"$mount_point/file"
sync

checking "the server ends with status 0 although a device is attached and mounted"
stop

checking "reading what is not in memory gives an error and does not hang"
status=0
in_time dd if=/dev/nbd0 of=/dev/null bs=4k count=1 skip=5000 iflag=direct status=none 2>/dev/null ||
    status=$?
((status == 1)) || fail "dd ended with status $status"

checking "unmounting does not hang"
status=0
in_time umount "$mount_point" || status=$?
((status != 124 && status != 137)) || fail "umount hangs"

checking "nbd-client -d does not hang, and the device is free again"
status=0
in_time nbd-client -d /dev/nbd0 || status=$?
((status != 124 && status != 137)) || fail "nbd-client -d hangs"
wait_until 10 device_detached /dev/nbd0 || fail "the device is still taken"

checking "the device can be attached to a new server"
serve --size 40M
attach /dev/nbd0
run_fio fresh --filename=/dev/nbd0 --rw=randwrite --bs=4k --size=4M --iodepth=16 --verify=crc32c
detach /dev/nbd0
stop

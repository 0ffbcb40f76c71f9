#!/bin/bash
# Disks come and go while udisks2, udev, multipathd, LVM and md look at each of them, as on a desktop: none of
# it shows in the kernel's log (B8).
source "${BASH_SOURCE[0]%/*}/lib.sh"

rounds=15
checking "udisks2 runs"
systemctl start udisks2
udisksctl status >/dev/null || fail "udisks2 does not answer"

checking "$rounds rounds of up and down leave no error in the kernel log"
mark_kernel_log
for ((round = 1; round <= rounds; round++)); do
    ramdisk up --size 32M --mount /mnt/r --daemon >"$scratch/said" 2>&1 ||
        { cat "$scratch/said" >&2; fail "up failed in round $round"; }
    echo "$round" >/mnt/r/file
    ramdisk down /mnt/r || fail "down failed in round $round"
done
udevadm settle --timeout=60
# udisks2 looks at a device a moment later.
sleep 3
# A connection that the kernel did not read may have been replaced.
! kernel_log | grep -E "$kernel_errors" | grep -vE "$kernel_replacements" >&2 ||
    fail "the kernel log has errors of disks that were taken down in order"

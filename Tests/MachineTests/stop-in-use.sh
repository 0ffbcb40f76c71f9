#!/bin/bash
# `systemctl stop` of the unit while a process is in the mount point: `up` remembers the stop, and takes the disk down
# when the process leaves (B7).
source "${BASH_SOURCE[0]%/*}/lib.sh"

unit=ramdisk-nbd-up.service
unit_is() { [[ $(systemctl show -P ActiveState "$unit") == "$1" ]]; }

install_unit "$unit" "$unit" 's/--size 1G/--size 64M/' 's/^TimeoutStopSec=.*/TimeoutStopSec=120/'

checking "a stop that is refused is remembered, and said in the journal"
systemctl start "$unit"
device=$(ramdisk list | awk '/\/mnt\/ramdisk/ { print $1 }')
in_background bash -c 'cd /mnt/ramdisk && exec sleep 600'
user=$job
sleep 1
systemctl stop --no-block "$unit"
sleep 8
mountpoint -q /mnt/ramdisk || fail "it was unmounted under its user"
unit_is deactivating || fail "the unit is $(systemctl show -P ActiveState "$unit")"
journalctl -b --no-pager -u "$unit" | grep -qiE "in use|busy" || fail "the journal does not say why it stays"

checking "it goes down within 10 seconds of the user's leaving, and the unit ends well"
end_job "$user"
wait_until 10 device_detached "$device" || fail "it is still attached"
wait_until 10 unit_is inactive || fail "the unit is $(systemctl show -P ActiveState "$unit")"
[[ $(systemctl show -P Result "$unit") == success ]] || fail "its result is $(systemctl show -P Result "$unit")"

checking "a stop that systemd has given up on is remembered too"
install_unit "$unit" "$unit" 's/--size 1G/--size 64M/' 's/^TimeoutStopSec=.*/TimeoutStopSec=3/'
systemctl start "$unit"
in_background bash -c 'cd /mnt/ramdisk && exec sleep 600'
user=$job
sleep 1
systemctl stop --no-block "$unit"
wait_until 60 unit_is failed || fail "the unit is $(systemctl show -P ActiveState "$unit")"
mountpoint -q /mnt/ramdisk || fail "it was unmounted under its user"
end_job "$user"
wait_until 10 device_detached "$device" || fail "it is still attached"
wait_until 10 no_process || fail "the program still runs"
systemctl reset-failed "$unit"

checking "it can be started again"
systemctl start "$unit"
mountpoint -q /mnt/ramdisk || fail "it is not mounted"
systemctl stop "$unit"
rm "/etc/systemd/system/$unit"
systemctl daemon-reload

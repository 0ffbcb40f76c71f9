#!/bin/bash
# The unit of `up`, enabled: the file system and a swap are there after the boot, which waits for nothing
# (B1); a reboot and a power off with both in use are quiet.
source "${BASH_SOURCE[0]%/*}/lib.sh"

unit=ramdisk-nbd-up.service
swap_unit=ramdisk-nbd-swap.service

# starts_without_stall UNIT: from its start to its being ready, the unit took less than a stalled request alone costs,
# which is 30 seconds; or, on a machine so busy that it takes two minutes to boot, less than half of that time.
starts_without_stall() {
    local from to limit=30 uptime
    uptime=$(cut -d . -f 1 /proc/uptime)
    ((uptime < 120)) || limit=$((uptime / 2))
    from=$(systemctl show -P InactiveExitTimestampMonotonic "$1")
    to=$(systemctl show -P ActiveEnterTimestampMonotonic "$1")
    echo "  ($1 took $(((to - from) / 1000)) ms)"
    ((to - from < limit * 1000000)) || fail "$1 took $(((to - from) / 1000)) ms to start"
}

everything_is_there() {
    systemctl is-active --quiet "$unit" || fail "$unit is $(systemctl is-active "$unit")"
    mountpoint -q /mnt/ramdisk || fail "/mnt/ramdisk is not mounted"
    swapon --show=NAME --noheadings | grep -qx /dev/nbd7 || fail "/dev/nbd7 is no swap"
    [[ $(systemctl is-system-running) == running ]] || { systemctl --failed >&2; fail "units have failed"; }
    starts_without_stall "$unit"
    starts_without_stall "$swap_unit"
    # A connection that the kernel did not read may have been replaced.
    ! dmesg | grep -E "$kernel_errors" | grep -vE "$kernel_replacements" >&2 || fail "errors in the kernel log"
}

# Something that is in the way when the machine ends: a process in it, unwritten data, used swap.
use_it() {
    head -c 20M /dev/urandom >/mnt/ramdisk/file
    systemd-run --quiet --unit=user-of-the-disk --property=RequiresMountsFor=/mnt/ramdisk \
        --working-directory=/mnt/ramdisk sleep 3600
    systemd-run --quiet --unit=careless --working-directory=/mnt/ramdisk sleep 3600
    # shellcheck disable=SC2016
    systemd-run --quiet --unit=eater --property=MemoryMax=32M \
        python3 -c 'import time; block = bytearray(56 << 20); time.sleep(3600)'
    wait_until 60 swap_is_used || fail "the swap is not used: this shows nothing"
}

swap_is_used() { (($(awk '$1 == "/dev/nbd7" { print $4 }' /proc/swaps) > 1000)); }

case $phase in
1)
    checking "the units are enabled, and the machine starts again"
    install_unit "$unit" "$unit" 's/--size 1G/--size 64M/'
    install_unit "$unit" "$swap_unit" 's,--size 1G --mount /mnt/ramdisk,--size 64M --device /dev/nbd7 --swap,' \
        's/^Description=.*/Description=RAM disk to swap to/' \
        's/^Before=.*/Before=dev-nbd7.swap swap.target umount.target/' 's/^WantedBy=.*/WantedBy=swap.target/'
    echo "/dev/nbd7 none swap nofail,x-systemd.makefs,x-systemd.requires=$swap_unit 0 0" >>/etc/fstab
    systemctl daemon-reload
    quietly "the units could not be enabled" systemctl enable "$unit" "$swap_unit"
    end_machine_by reboot
    ;;
2)
    checking "after the boot everything is there, and nothing has waited"
    everything_is_there
    use_it
    checking "a reboot with all of it in use"
    end_machine_by reboot
    ;;
3)
    checking "it was quiet, and everything is there again"
    ended_quietly
    everything_is_there
    [[ ! -e /mnt/ramdisk/file ]] || fail "the disk is not new"
    use_it
    checking "a power off with all of it in use"
    end_machine_by poweroff
    ;;
4)
    checking "it was quiet; the units stop in order"
    ended_quietly
    everything_is_there
    systemctl stop dev-nbd7.swap
    quietly "the units could not be disabled" systemctl disable --now "$unit" "$swap_unit"
    sed -i '/^\/dev\/nbd7 /d' /etc/fstab
    rm "/etc/systemd/system/$unit" "/etc/systemd/system/$swap_unit"
    systemctl daemon-reload
    ;;
esac

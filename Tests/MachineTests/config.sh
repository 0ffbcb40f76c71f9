#!/bin/bash
# Disks of /etc/ramdisk-nbd with the template units: one with its mount in the file, one with it in /etc/fstab, by the
# lines of docs/guide/kernel-disks.md, one that cannot start, and a server. Both file systems are there after each boot,
# which the third one does not end; a power off with both in use is quiet.
source "${BASH_SOURCE[0]%/*}/lib.sh"

unit=ramdisk-nbd@.service

everything_is_there() {
    local name
    for name in scratch tab; do
        systemctl is-active --quiet "ramdisk-nbd@$name" || fail "$name is $(systemctl is-active "ramdisk-nbd@$name")"
        mountpoint -q "/mnt/$name" || fail "/mnt/$name is not mounted"
    done
    [[ $(findmnt -no SOURCE /mnt/tab) == /dev/nbd5 ]] || fail "/mnt/tab is $(findmnt -no SOURCE /mnt/tab)"
    ! dmesg | grep -E "$kernel_errors" | grep -vE "$kernel_replacements" >&2 || fail "errors in the kernel log"
}

use_it() {
    local name
    for name in scratch tab; do
        head -c 10M /dev/urandom >"/mnt/$name/file"
        systemd-run --quiet --unit="user-of-$name" --property="RequiresMountsFor=/mnt/$name" \
            --working-directory="/mnt/$name" sleep 3600
    done
}

# A server without privileges keeps its disk in an image.
serve_unit=ramdisk-nbd-serve@.service
stats_answers() {
    ramdisk stats --control "$(systemctl show -P MainPID ramdisk-nbd-serve@export)" >"$scratch/stats" 2>&1
}

serves() {
    local run=/run/ramdisk-nbd-serve-export data=/var/lib/ramdisk-nbd-serve-export device
    install_unit "$serve_unit" "$serve_unit"
    printf '%s\n' 'command = "serve"' 'size = "16M"' "unix = \"$run/nbd.sock\"" "image = \"$data/disk.img\"" \
        >/etc/ramdisk-nbd/export.toml
    quietly "the server does not start" systemctl start ramdisk-nbd-serve@export
    [[ $(ps -o user= -p "$(systemctl show -P MainPID ramdisk-nbd-serve@export)") != root ]] || fail "the server is root's"
    device=$(ramdisk attach "nbd+unix:///?socket=$run/nbd.sock")
    head -c 1M /dev/urandom >"$scratch/content"
    dd if="$scratch/content" of="$device" bs=1M conv=fsync status=none
    # On a busy machine the first answer of an emulated server takes longer than `stats` waits.
    wait_until 60 stats_answers || { cat "$scratch/stats" >&2; fail "stats finds no server"; }
    quietly "the device stays attached" ramdisk detach "$device"
    quietly "the server does not stop" systemctl stop ramdisk-nbd-serve@export
    cmp -n "$((1 << 20))" "$scratch/content" "$data/disk.img" || fail "the image is not what was written"
    rm -r /etc/ramdisk-nbd/export.toml "/etc/systemd/system/$serve_unit" "$data" /var/lib/private/ramdisk-nbd-serve-export
}

case $phase in
1)
    mkdir -p /etc/ramdisk-nbd
    checking "a server without privileges"
    serves
    checking "the files are checked, the unit is enabled for them, and the machine starts again"
    install_unit "$unit" "$unit"
    printf '%s\n' 'size = "64M"' 'mount = "/mnt/scratch"' 'supervise = true' >/etc/ramdisk-nbd/scratch.toml
    printf '%s\n' 'size = "64M"' 'device = "/dev/nbd5"' 'filesystem = "ext4"' >/etc/ramdisk-nbd/tab.toml
    printf '%s\n' 'size = "64M"' 'load = "/nowhere/disk.img"' >/etc/ramdisk-nbd/broken.toml
    quietly "the files are wrong" ramdisk config check
    echo 'sise = "64M"' >"$scratch/wrong.toml"
    refused 'wrong.toml:1: sise: .*did you mean size' config check "$scratch/wrong.toml"
    quietly "systemd does not accept the unit" systemd-analyze verify --man=no ramdisk-nbd@scratch.service
    echo "/dev/nbd5 /mnt/tab ext4 nofail,x-systemd.requires=ramdisk-nbd@tab.service 0 0" >>/etc/fstab
    systemctl daemon-reload
    quietly "the units could not be enabled" systemctl enable ramdisk-nbd@{scratch,broken}.service
    # The mount is there at once too, without a boot.
    quietly "the disk does not start" systemctl start ramdisk-nbd@scratch
    mountpoint -q /mnt/scratch || fail "/mnt/scratch is not mounted"
    end_machine_by reboot
    ;;
2)
    checking "after the boot both are mounted, and the third one has failed alone"
    wait_until 60 systemctl is-active --quiet mnt-tab.mount || fail "mnt-tab.mount is $(systemctl is-active mnt-tab.mount)"
    everything_is_there
    [[ $(systemctl list-units --failed --plain --no-legend | awk '{ print $1 }') == ramdisk-nbd@broken.service ]] ||
        { systemctl --failed >&2; fail "other units have failed, or the broken one has not"; }
    journalctl -b --no-pager -u ramdisk-nbd@broken | grep -q /nowhere/disk.img || fail "its journal does not say why"
    quietly "it could not be disabled" systemctl disable ramdisk-nbd@broken.service
    use_it
    checking "a power off with both in use"
    end_machine_by poweroff
    ;;
3)
    checking "it was quiet, and both are there again; the units stop in order"
    ended_quietly
    wait_until 60 systemctl is-active --quiet mnt-tab.mount || fail "mnt-tab.mount is $(systemctl is-active mnt-tab.mount)"
    everything_is_there
    systemctl stop mnt-tab.mount ramdisk-nbd@tab.service
    quietly "the unit could not be disabled" systemctl disable --now ramdisk-nbd@scratch.service
    sed -i '/^\/dev\/nbd5 /d' /etc/fstab
    rm -r /etc/ramdisk-nbd "/etc/systemd/system/$unit"
    systemctl daemon-reload
    ;;
esac

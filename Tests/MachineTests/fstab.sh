#!/bin/bash
# The unit of `serve` with a mount by nbd-client, ordered by the lines of docs/guide/kernel-disks.md (B10): mounted after
# the boot; at shutdown unmounted first, then detached, then the server stops.
source "${BASH_SOURCE[0]%/*}/lib.sh"

everything_is_there() {
    systemctl is-active --quiet ramdisk-nbd.service || fail "the server is $(systemctl is-active ramdisk-nbd.service)"
    mountpoint -q /mnt/served || fail "/mnt/served is not mounted"
    [[ $(systemctl is-system-running) == running ]] || { systemctl --failed >&2; fail "units have failed"; }
    ! dmesg | grep -E "$kernel_errors" >&2 || fail "errors in the kernel log"
}

case $phase in
1)
    checking "units, /etc/nbdtab and /etc/fstab"
    install_unit ramdisk-nbd.socket ramdisk-nbd.socket
    install_unit ramdisk-nbd.service ramdisk-nbd.service 's/--size 1G/--export disk=64M/'
    # Device, socket, export, options.
    echo 'nbd3 /run/ramdisk-nbd.sock disk unix,bs=4096' >/etc/nbdtab
    echo nbd >/etc/modules-load.d/nbd.conf
    mkdir -p /etc/systemd/system/nbd@nbd3.service.d
    printf '[Unit]\nRequires=ramdisk-nbd.service\nAfter=ramdisk-nbd.service\n' \
        >/etc/systemd/system/nbd@nbd3.service.d/order.conf
    echo '/dev/nbd3 /mnt/served ext4 _netdev,x-systemd.requires=nbd@nbd3.service,x-systemd.makefs 0 0' >>/etc/fstab
    systemctl daemon-reload
    quietly "the socket could not be enabled" systemctl enable ramdisk-nbd.socket
    end_machine_by reboot
    ;;
2)
    checking "after the boot it is mounted"
    everything_is_there
    ramdisk stats --control "$(systemctl show -P MainPID ramdisk-nbd.service)" | grep -q '^server ' ||
        fail "the server of the unit cannot be watched"
    # The journal has the time of a line already.
    ! journalctl -b -u ramdisk-nbd.service -o cat --no-pager | grep -E '^[0-9]{4}-[0-9]{2}-' >&2 ||
        fail "the unit's lines have a time of their own"
    head -c 20M /dev/urandom >/mnt/served/file
    systemd-run --quiet --unit=user-of-the-disk --property=RequiresMountsFor=/mnt/served \
        --working-directory=/mnt/served sleep 3600
    checking "a power off while a service uses it"
    end_machine_by poweroff
    ;;
3)
    checking "it was quiet: unmounted, detached, then stopped"
    ended_quietly
    everything_is_there
    journalctl -b -1 --no-pager -o short-monotonic >"$scratch/journal"
    unmounted=$(grep -n 'Unmounted.*mnt/served\|Unmounted mnt-served' "$scratch/journal" | tail -n 1 | cut -d: -f1)
    detached=$(grep -n 'Stopped.*nbd@nbd3.service\|Stopped NBD client connection for nbd3' "$scratch/journal" | tail -n 1 | cut -d: -f1)
    stopped=$(grep -n 'Stopped.*ramdisk-nbd.service\|Stopped RAM disk over NBD' "$scratch/journal" | tail -n 1 | cut -d: -f1)
    [[ -n $unmounted && -n $detached && -n $stopped ]] || { tail -n 30 "$scratch/journal" >&2; fail "the journal does not say so"; }
    ((unmounted < detached && detached < stopped)) || fail "the order was another: lines $unmounted, $detached, $stopped"
    systemctl stop mnt-served.mount nbd@nbd3.service ramdisk-nbd.socket ramdisk-nbd.service
    quietly "the socket could not be disabled" systemctl disable ramdisk-nbd.socket
    sed -i '/^\/dev\/nbd3 /d' /etc/fstab
    rm -r /etc/nbdtab /etc/systemd/system/nbd@nbd3.service.d /etc/modules-load.d/nbd.conf /etc/systemd/system/ramdisk-nbd.{socket,service}
    systemctl daemon-reload
    ;;
esac

#!/bin/bash
# Rescue mode: `systemctl rescue` keeps a mounted disk of ramdisk-nbd@.service with its data, a machine that boots to the
# rescue mode has the disk, and both leave that mode again.
source "${BASH_SOURCE[0]%/*}/lib.sh"

unit=ramdisk-nbd@.service
# Notes what there is in rescue mode, then leaves it. ssh has no connection meanwhile, so this is a unit.
observer=/etc/systemd/system/observe.service

write_observer() {
    cat >"$observer" <<END
[Unit]
DefaultDependencies=no
After=rescue.target
IgnoreOnIsolate=yes
[Service]
Type=oneshot
ExecStart=/bin/bash $kept/observe
[Install]
WantedBy=rescue.target
END
    cat >"$kept/observe" <<'END'
exec >>/var/lib/machine-tests/observed 2>&1
# What the change of modes stops may still be stopping.
while systemctl --quiet is-active ssh.service; do sleep 0.2; done
echo "rescue: $(systemctl is-active rescue.target ramdisk-nbd@scratch.service ssh.service | paste -sd ' ')"
findmnt -no SOURCE,TARGET /mnt/scratch
cat /mnt/scratch/file
systemctl --no-block isolate multi-user.target
END
}

# observed LINE...: the unit has noted these lines.
observed() {
    printf '%s\n' "$@" | diff - "$kept/observed" >"$scratch/differences" ||
        { cat "$scratch/differences" >&2; fail "in rescue mode there was something else"; }
    rm "$kept/observed"
}

the_disk_is_up() {
    mountpoint -q /mnt/scratch || fail "/mnt/scratch is not mounted"
    [[ $(systemctl is-system-running) == running ]] || { systemctl --failed >&2; fail "units have failed"; }
    ! dmesg | grep -E "$kernel_errors" | grep -vE "$kernel_replacements" >&2 || fail "errors in the kernel log"
}

case $phase in
1)
    checking "a disk with a file, by its unit"
    install_unit "$unit" "$unit"
    mkdir -p /etc/ramdisk-nbd
    printf '%s\n' 'size = "64M"' 'mount = "/mnt/scratch"' 'device = "/dev/nbd0"' >/etc/ramdisk-nbd/scratch.toml
    quietly "the unit does not start" systemctl enable --now ramdisk-nbd@scratch
    echo content >/mnt/scratch/file
    systemctl show -P MainPID ramdisk-nbd@scratch >"$kept/process"
    write_observer
    systemctl daemon-reload
    quietly "the observer could not be enabled" systemctl enable observe.service
    checking "the machine goes to rescue mode and back, then starts again"
    # shellcheck disable=SC2016 # the unit's shell expands it
    systemd-run --quiet --on-active=2 --property=IgnoreOnIsolate=yes --property=DefaultDependencies=no bash -c '
        systemctl rescue
        for ((second = 0; second < 120; second++)); do
            ! systemctl is-active --quiet multi-user.target || [[ ! -s /var/lib/machine-tests/observed ]] || break
            sleep 1
        done
        cp /mnt/scratch/file /var/lib/machine-tests/after
        systemctl show -P MainPID ramdisk-nbd@scratch >/var/lib/machine-tests/process.after
        systemctl set-default rescue.target
        systemctl reboot'
    continues=yes
    exit 75
    ;;
2)
    checking "the disk and its process were there throughout"
    # The first note is of the change to rescue mode, the second of the boot to it, which has a new disk.
    observed "rescue: active active inactive" "/dev/nbd0 /mnt/scratch" "content" \
        "rescue: active active inactive" "/dev/nbd0 /mnt/scratch" "cat: /mnt/scratch/file: No such file or directory"
    [[ $(<"$kept/after") == content ]] || fail "the file has changed"
    cmp "$kept/process" "$kept/process.after" || fail "the unit has another process"
    checking "the boot to rescue mode had the disk too, and finished"
    the_disk_is_up
    rm /etc/systemd/system/default.target
    systemctl disable --quiet --now ramdisk-nbd@scratch observe.service
    rm -r /etc/ramdisk-nbd "$observer" "/etc/systemd/system/$unit" "${kept:?}"/*
    systemctl daemon-reload
    ;;
esac

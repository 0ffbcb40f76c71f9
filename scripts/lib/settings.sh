# shellcheck shell=bash
# The settings of a machine that a test could change and leave behind. Sourced by scripts/test, which compares them
# before and after.

# settings_of_machine: prints a sorted line for each setting of the kernel, each module and each mount.
settings_of_machine() {
    # Without counters and other values that change by themselves.
    find /proc/sys/vm /proc/sys/net/core /proc/sys/net/ipv4 /proc/sys/kernel /proc/sys/fs -type f -readable \
        ! -path '/proc/sys/kernel/random/*' ! -path '/proc/sys/fs/quota/*' ! -path '*/route/flush' \
        ! -name 'ns_last_pid' ! -name '*-nr' ! -name 'nr' ! -name '*-state' ! -name 'stat_refresh' \
        ! -name 'netdev_rss_key' ! -name 'tcp_fastopen_key' ! -path '*/neigh/*' ! -path '*/conf/*' \
        -exec grep -sH '' {} + | sort
    [[ ! -r /proc/modules ]] || awk '{ print "module " $1 }' /proc/modules | sort
    awk '{ print "mount " $5 " of " $4 }' /proc/self/mountinfo | sort
    ls -A /dev/shm/ramdisk-nbd /run/ramdisk-nbd 2>/dev/null || true
}

# machine_is_as_before FILE: true if the settings are those in FILE; otherwise prints the differences.
machine_is_as_before() {
    local difference
    difference=$(settings_of_machine | diff "$1" - | grep '^[<>]') || return 0
    echo "The tests changed settings of the machine (< before, > now):" >&2
    printf '%s\n' "$difference" >&2
    return 1
}

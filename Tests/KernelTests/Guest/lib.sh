# shellcheck shell=bash
# Functions for the kernel tests; each sources this file first. scripts/kernel-tests runs a test in scripts/in-kernel, as
# root, on devices that no other program uses.
#
# A test prints what it checks with `checking`, and ends at the first failure. Its mount, its devices and its server are
# removed at its end, whatever ended it.
set -euo pipefail

# A test takes /dev/nbd0 without asking, and in the end detaches every device.
if [[ ${IN_KERNEL-} != yes ]]; then
    echo "This test wants a kernel of its own: scripts/kernel-tests runs it in one." >&2
    exit 1
fi

PATH=$PATH:/usr/sbin:/sbin
repository=$(realpath "${BASH_SOURCE[0]%/*}/../../..")
# shellcheck source=scripts/lib/server.sh
source "$repository/scripts/lib/server.sh"
# shellcheck source=scripts/lib/device.sh
source "$repository/scripts/lib/device.sh"

RAMDISK_NBD=$(realpath "$(server_program)")
# Also the current directory: fio leaves a file there when a verification fails.
scratch=$(mktemp -d)
mount_point=$scratch/mount
mkdir "$mount_point"
cd "$scratch"

checking() {
    echo "- $*"
}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# quietly MESSAGE COMMAND...: runs COMMAND, and shows its output only if it fails, with MESSAGE.
quietly() {
    "${@:2}" >"$scratch/printed" 2>&1 || {
        cat "$scratch/printed" >&2
        fail "$1"
    }
}

# requires PROGRAM PACKAGE: a missing program is a failure that names the package.
requires() {
    [[ -n $(type -P "$1") ]] || fail "needs $1, from Debian's package $2"
}

serve() {
    start_server "$scratch" "$@" || fail "the server did not start: serve $*"
}

stop() {
    stop_server || fail "the server did not stop as it should"
}

# attach DEVICE OPTION...: nbd-client with OPTIONs.
attach() {
    quietly "nbd-client could not attach $1" attach_device "$@"
}

detach() {
    detach_device "$1" || fail "nbd-client could not detach $1"
}

# mount_disk DEVICE OPTION...
mount_disk() {
    mount "${@:2}" "$1" "$mount_point" || fail "could not mount $1"
}

unmount_disk() {
    umount "$mount_point" || fail "could not unmount $mount_point"
}

# keeps_its_memory PID MIB: checks that the OOM killer spares the process, that MIB of its memory are locked, and that
# its main thread and those that serve are I/O flushers: they do not wait for memory that the kernel frees by writing to
# the disk.
keeps_its_memory() {
    local locked task fields flusher=$((0x80000))
    [[ $(<"/proc/$1/oom_score_adj") == -1000 ]] || fail "it may be killed for its memory"
    locked=$(awk '$1 == "VmLck:" { print $2 }' "/proc/$1/status")
    ((locked >= $2 << 10)) || fail "only $locked KiB of it are locked"
    for task in "/proc/$1/task/"*; do
        # The name in parentheses may have spaces; the flags are the seventh field after it.
        read -ra fields <<<"$(sed 's/.*) //' "$task/stat" 2>/dev/null)"
        ((${#fields[@]} > 0)) || continue
        [[ ${task##*/} == "$1" || $(<"$task/comm") == nbd-[0-9]* ]] || continue
        ((fields[6] & flusher)) || fail "the thread $(<"$task/comm") is not an I/O flusher"
    done
}

# checksum FILE: prints the checksum of its contents.
checksum() { sha256sum <"$1"; }

# run_fio JOB OPTION...: runs fio with verification and direct I/O, quiet unless it fails.
run_fio() {
    quietly "fio $1 found something wrong" \
        fio --name="$1" --ioengine=libaio --direct=1 --verify_fatal=1 --randrepeat=0 "${@:2}"
}

# queue_figure DEVICE NAME: prints an attribute of the device's queue.
queue_figure() {
    cat "/sys/block/${1#/dev/}/queue/$2"
}

finish() {
    local status=$? device
    trap '' HUP INT TERM
    trap - EXIT
    if ((status != 0)); then
        tell_more
    fi
    umount "$mount_point" 2>/dev/null || true
    for device in /dev/nbd[0-9]*; do
        [[ ! -b $device ]] || device_detached "$device" || detach_device "$device" || true
    done
    stop_server || status=1
    cd /
    rm -rf --one-file-system "$scratch"
    exit "$status"
}

# Prints the logs of the server and of the kernel after a failure.
tell_more() {
    if [[ -s $server_log ]]; then
        echo "The server's log ends with:" >&2
        tail -n 10 "$server_log" >&2
    fi
    echo "The kernel's messages end with:" >&2
    dmesg | tail -n 10 >&2
}

trap finish EXIT
trap 'exit 143' HUP INT TERM

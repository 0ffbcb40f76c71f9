# shellcheck shell=bash
# Builds the server, and finds out whether this machine's own kernel can be used. Sourced by quickstart and
# trace-kernel after packages.sh and device.sh; they set `repository`.

# How to run a command as root; the reason why this machine's kernel cannot be used; whether this script has
# loaded the driver; the process group of a running build.
as_root=() why_not="" unload="" build=""

# build_server: builds the release, unless RAMDISK_NBD names a program, and exports RAMDISK_NBD. The build has
# a process group of its own, so that a signal can stop all of its compilers.
build_server() {
    if [[ -z ${RAMDISK_NBD-} ]]; then
        require_swift
        require_build_packages
        echo "Building the server (the first build takes some minutes)"
        set -m
        # shellcheck disable=SC2154  # the caller sets repository
        swift build --package-path "$repository" -c release --static-swift-stdlib \
            --product ramdisk-nbd </dev/null >&2 &
        build=$!
        set +m
        wait "$build"
        build=""
        RAMDISK_NBD=$repository/.build/release/ramdisk-nbd
    fi
    if [[ ! -x $RAMDISK_NBD ]]; then
        echo "RAMDISK_NBD is $RAMDISK_NBD, which is not a program." >&2
        exit 1
    fi
    RAMDISK_NBD=$(realpath "$RAMDISK_NBD")
    export RAMDISK_NBD
}

stop_build() {
    [[ -n $build ]] || return 0
    kill -INT -- "-$build" 2>/dev/null || true
    wait "$build" 2>/dev/null || true
    build=""
}

# become_root WHAT: sets as_root; false when that would ask for a password, which a first try should not do.
become_root() {
    ((EUID != 0)) || return 0
    if ! sudo -n true 2>/dev/null; then
        why_not="$1 requires root"
        return 1
    fi
    as_root=(sudo -n)
}

# load_driver: true when the kernel has the nbd driver and a free device.
load_driver() {
    if [[ ! -b /dev/nbd0 ]]; then
        why_not="it has no nbd driver"
        PATH=$PATH:/usr/sbin:/sbin "${as_root[@]}" modprobe nbd 2>/dev/null || return 1
        unload=yes
        wait_for_devices || return 1
    fi
    why_not="all of its nbd devices are in use"
    first_free_device >/dev/null 2>&1
}

# The device nodes appear a moment after the driver.
wait_for_devices() {
    local try
    for ((try = 0; try < 50; try++)); do
        [[ ! -b /dev/nbd0 ]] || return 0
        sleep 0.1
    done
    return 1
}

unload_driver() {
    [[ -n $unload ]] || return 0
    PATH=$PATH:/usr/sbin:/sbin "${as_root[@]}" modprobe -r nbd 2>/dev/null || true
    unload=""
}

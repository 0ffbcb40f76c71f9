# shellcheck shell=bash
# Runs a Debian machine in QEMU, without hardware virtualization, one at a time. Sourced after packages.sh. Its disk is
# an overlay of the cached one, so every new machine starts from the same state.

# shellcheck disable=SC2034  # its callers read these
machine_qemu="" machine_directory="" machine_port=""
machine_cache=""
# QEMU's options for the machine's disk.
machine_disk=()
# A limit for a boot; it takes far less, also on a busy machine.
machine_boot_seconds=${BOOT_SECONDS:-600}

machine_packages=(qemu-system-x86 qemu-utils debootstrap openssh-client e2fsprogs)

# find_machine_image SUITE: finds the cached disk of the machine with that release of Debian, or makes it if the cache has
# none or its recipe has changed.
find_machine_image() {
    local library=${BASH_SOURCE[0]%/*} recipe cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}
    if [[ $(uname -m) != x86_64 ]]; then
        echo "The machine in QEMU requires x86_64, and this machine is $(uname -m)." >&2
        return 1
    fi
    recipe=$(sha256sum <"$library/machine-image")
    machine_cache=$cache/ramdisk-nbd/machines/$1-${recipe:0:12}
    [[ ! -d $machine_cache ]] || return 0
    mkdir -p "${machine_cache%/*}"
    echo "Making the machine's disk, which takes some minutes the first time: Debian $1, in $machine_cache"
    as_root "$library/machine-image" "$machine_cache" "$1"
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo "$@"
    fi
}

# new_machine DIRECTORY: prepares a machine that has never been booted, with its files in DIRECTORY.
new_machine() {
    machine_directory=$1
    rm -f "$1/disk.qcow2" "$1/console.log"
    # ssh rejects a key that other users can read.
    install -m 600 "$machine_cache/key" "$1/key"
    qemu-img create -q -f qcow2 -F raw -b "$machine_cache/base.img" "$1/disk.qcow2"
    machine_disk=(-drive "file=$machine_directory/disk.qcow2,if=virtio,format=qcow2,cache=unsafe")
    write_ssh_configuration
}

write_ssh_configuration() {
    cat >"$machine_directory/ssh.conf" <<END
Host machine
HostName 127.0.0.1
User root
IdentityFile $machine_directory/key
IdentitiesOnly yes
StrictHostKeyChecking no
UserKnownHostsFile /dev/null
LogLevel ERROR
ConnectTimeout 10
ServerAliveInterval 15
ServerAliveCountMax 8
END
}

# start_machine: boots the machine, and returns when ssh reaches it and systemd has finished starting.
start_machine() {
    local try
    # Another program may take the port in the meantime; QEMU ends at once then.
    for try in 1 2 3; do
        machine_port=$((20000 + RANDOM % 12000))
        launch_machine
        sleep 1
        ! kill -0 "$machine_qemu" 2>/dev/null || break
        wait "$machine_qemu" || true
        machine_qemu=""
    done
    [[ -n $machine_qemu ]] || { cat "$machine_directory/qemu.log" >&2; return 1; }
    wait_for_machine || return 1
}

launch_machine() {
    # no_timer_check: the kernel panics at its boot when a busy machine delays the ticks that it counts. clearcpuid: Linux
    # 6.12 under QEMU 7.2 crashed in 5 of 10 early boots when it used cmpxchg16b itself; programs may use it. mitigations:
    # emulated, they only cost time.
    local kernel_options="no_timer_check clearcpuid=cx16 mitigations=off"
    [[ ! -s $machine_directory/console.log ]] ||
        cat "$machine_directory/console.log" >>"$machine_directory/console.before"
    qemu-system-x86_64 -accel tcg,thread=multi,tb-size=512 -smp 2 -cpu max -m "${MACHINE_MEMORY:-3G}" \
        -nodefaults -no-user-config -display none -no-reboot \
        -kernel "$machine_cache/vmlinuz" -initrd "$machine_cache/initrd.img" \
        -append "root=/dev/vda rw console=ttyS0 quiet panic=-1 systemd.show_status=yes $kernel_options" \
        "${machine_disk[@]}" \
        -chardev "file,id=console,path=$machine_directory/console.log" -serial chardev:console \
        -netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$machine_port-:22" \
        -device virtio-net-pci,netdev=net -device virtio-rng-pci \
        </dev/null >"$machine_directory/qemu.log" 2>&1 &
    machine_qemu=$!
}

wait_for_machine() {
    local end=$((SECONDS + machine_boot_seconds)) state
    while ((SECONDS < end)); do
        if ! kill -0 "$machine_qemu" 2>/dev/null; then
            show_console
            echo "The machine ended during its boot." >&2
            return 1
        fi
        # The tests decide whether "degraded" is a failure.
        state=$(in_machine 20 'systemctl is-system-running' 2>/dev/null </dev/null) || true
        case $state in
        *running | *degraded) return 0 ;;
        esac
        sleep 1
    done
    show_console
    echo "The machine did not boot within $machine_boot_seconds seconds (systemd says: ${state:-nothing})." >&2
    return 1
}

show_console() {
    echo "The machine's console ends with:" >&2
    tail -n 20 "$machine_directory/console.log" >&2 || true
}

# in_machine SECONDS COMMAND: runs a line in the machine's shell. Returns its status; 255 if ssh does not reach the
# machine, 124 after SECONDS.
in_machine() {
    timeout --kill-after=5 "$1" ssh -F "$machine_directory/ssh.conf" -p "$machine_port" machine "$2"
}

# copy_to_machine TARGET NAME...: copies files and folders of the current directory to TARGET.
copy_to_machine() {
    tar -cz "${@:2}" | in_machine 300 "mkdir -p $1 && tar -xz -C $1 --no-same-owner"
}

# wait_for_machine_end SECONDS: true once the machine has powered off or rebooted by itself.
wait_for_machine_end() {
    local end=$((SECONDS + $1))
    while kill -0 "$machine_qemu" 2>/dev/null; do
        ((SECONDS < end)) || return 1
        sleep 0.5
    done
    wait "$machine_qemu" 2>/dev/null || true
    machine_qemu=""
}

# end_machine: ends the machine at once; a clean shutdown would save nothing.
end_machine() {
    [[ -n $machine_qemu ]] || return 0
    kill -KILL "$machine_qemu" 2>/dev/null || true
    wait "$machine_qemu" 2>/dev/null || true
    machine_qemu=""
}

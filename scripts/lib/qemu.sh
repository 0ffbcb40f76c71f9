# shellcheck shell=bash
# Runs Debian's kernel for virtual machines, which has the nbd driver and ftrace, in QEMU without hardware
# virtualization. Sourced after packages.sh.
#
# The kernel package is unpacked into a cache, not installed. The guest's file system is an initramfs with the given
# programs and their libraries.

# run_in_qemu DIRECTORY SECONDS COMMAND: boots the kernel of find_guest_kernel with the root file system in
# DIRECTORY/root, runs COMMAND (a line for the shell) as root, and prints its output. Returns COMMAND's status; 124 after
# SECONDS, 125 if the kernel ended before COMMAND did.
run_in_qemu() {
    local directory=$1 seconds=$2 status=0
    write_guest_init "$directory/root" "$3"
    (cd "$directory/root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$directory/initramfs"
    # Three serial lines: the kernel's messages, the script's output, and its status.
    timeout --kill-after=5 "$seconds" qemu-system-x86_64 \
        -accel tcg,thread=multi -smp 2 -cpu max -m 1G -nodefaults -no-user-config -display none \
        -no-reboot -kernel "$guest_kernel" -initrd "$directory/initramfs" \
        -append "console=ttyS0 quiet panic=-1" \
        -chardev "file,id=messages,path=$directory/kernel.log" -serial chardev:messages \
        -chardev stdio,id=output,signal=off -serial chardev:output \
        -chardev "file,id=status,path=$directory/status" -serial chardev:status \
        </dev/null &
    qemu=$!
    wait "$qemu" || status=$?
    qemu=""
    if [[ -s $directory/status ]]; then
        return "$(tr -d '\r\n' <"$directory/status")"
    fi
    tail -n 5 "$directory/kernel.log" >&2
    if ((status == 124)); then
        echo "The kernel in QEMU was still running after $seconds seconds. Its last messages are above." >&2
        return 124
    fi
    echo "The kernel in QEMU ended before the script did. Its last messages are above." >&2
    return 125
}

# The pid of the running QEMU, for the caller's clean-up.
# shellcheck disable=SC2034  # its callers read it
qemu=""
guest_kernel="" guest_modules=""

# find_guest_kernel: finds Debian's newest kernel for virtual machines, in the cache or in the archive.
find_guest_kernel() {
    local cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ramdisk-nbd package unpacked
    if [[ $(uname -m) != x86_64 ]]; then
        echo "The kernel in QEMU requires x86_64, and this machine is $(uname -m)." >&2
        return 1
    fi
    package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null |
        sed -nE 's/^ *Depends: (linux-image-[^ ]*)$/\1/p' | head -n 1)
    unpacked=$cache/$package
    if [[ -z $package ]] || [[ ! -d $unpacked ]]; then
        fetch_guest_kernel "$cache" || return 1
        unpacked=$cache/$package
    fi
    guest_kernel=$(find "$unpacked/boot" -name 'vmlinuz-*')
    guest_modules=$(find "$unpacked/lib/modules" -mindepth 1 -maxdepth 1 -type d)
}

# Unpacks beside the final path and moves at the end, so that whatever is in the cache is complete.
fetch_guest_kernel() {
    local cache=$1 part
    # A new machine has no list of packages yet, and an old list names packages that no longer exist.
    apt_get update || return 1
    package=$(apt-cache depends linux-image-cloud-amd64 |
        sed -nE 's/^ *Depends: (linux-image-[^ ]*)$/\1/p' | head -n 1)
    [[ -n $package ]] || { echo "Debian's archive has no linux-image-cloud-amd64." >&2; return 1; }
    [[ ! -d $cache/$package ]] || return 0
    echo "Downloading the kernel: Debian's package $package"
    part=$cache/$package.$$
    mkdir -p "$part"
    if (cd "$part" && apt-get -q download "$package" >/dev/null 2>&1 && mkdir unpacked &&
        dpkg-deb -x ./*.deb unpacked) && mv "$part/unpacked" "$cache/$package"; then
        rm -rf "$part"
        return 0
    fi
    rm -rf "$part"
    echo "apt-get download cannot get the package $package." >&2
    return 1
}

# make_guest_root ROOT PROGRAM...: makes a root file system with busybox, bash and these programs.
make_guest_root() {
    local root=$1 program library
    mkdir -p "$root"/{bin,dev,etc,lib/modules,proc,root,run,sys,tmp}
    # busybox provides every command that is not among the programs.
    cp "$(type -P busybox)" "$root/bin/busybox"
    for program in $(busybox --list); do
        [[ -e $root/bin/$program ]] || ln -s busybox "$root/bin/$program"
    done
    for program in "$(type -P bash)" "${@:2}"; do
        rm -f "$root/bin/${program##*/}"
        cp --dereference "$program" "$root/bin/"
        # Each library at the path where the program looks for it.
        for library in $(ldd "$program" 2>/dev/null | grep -o '/[^ )]*'); do
            mkdir -p "$root${library%/*}"
            cp --dereference "$library" "$root$library"
        done
    done
    echo '127.0.0.1 localhost' >"$root/etc/hosts"
    echo 'root:x:0:0:root:/root:/bin/bash' >"$root/etc/passwd"
    # mkfs.ext4 reads its defaults from this file.
    [[ ! -f /etc/mke2fs.conf ]] || cp /etc/mke2fs.conf "$root/etc/"
}

# add_guest_module ROOT NAME: adds a module of the guest's kernel; the guest's init loads it.
add_guest_module() {
    local file
    file=$(find "$guest_modules" -name "$2.ko*" | head -n 1)
    [[ -n $file ]] || { echo "The kernel in QEMU has no module $2." >&2; return 1; }
    cp "$file" "$1/lib/modules/"
}

# Writes the guest's init: mounts, loads modules, runs the script, powers off.
write_guest_init() {
    cat >"$1/init" <<INIT
#!/bin/bash
export PATH=/bin HOME=/root TERM=dumb
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mount -t tmpfs tmpfs /tmp
mount -t tracefs tracefs /sys/kernel/tracing
ln -s /proc/self/fd /dev/fd
for module in /lib/modules/*.ko*; do insmod "\$module"; done
ip link set lo up
# Without this, lines would end in a carriage return too.
stty -F /dev/ttyS1 -opost
stty -F /dev/ttyS2 -opost
$2 </dev/null >/dev/ttyS1 2>&1
status=\$?
# Setting it again waits until the serial line has sent everything.
stty -F /dev/ttyS1 -opost
echo \$status >/dev/ttyS2
stty -F /dev/ttyS2 -opost
poweroff -f
INIT
    chmod +x "$1/init"
}

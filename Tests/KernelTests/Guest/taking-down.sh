#!/bin/bash
# Taking a disk down succeeds completely or changes nothing, and a stop that was rejected is carried out later.
#
# takes minutes
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

remember_machine
mkdir "$scratch/other" "$scratch/bin"

is_up() { [[ -e /sys/block/nbd0/pid ]] && grep -q "^/dev/nbd0 $mount_point " /proc/mounts; }
up_is_gone() { process_gone "$up_pid"; }
# namespace_differs PID: whether the process has a mount namespace of its own.
namespace_differs() { [[ $(readlink "/proc/$1/ns/mnt") != "$(readlink /proc/self/ns/mnt)" ]]; }

# loads_from PATH: whether a process of the program has the file open.
loads_from() {
    local path
    for path in /proc/[0-9]*; do
        [[ $(readlink "$path/exe" 2>/dev/null) == "$RAMDISK_NBD" ]] || continue
        [[ " $(readlink "$path"/fd/* 2>/dev/null | tr '\n' ' ') " != *" $1 "* ]] || return 0
    done
    return 1
}

# slow_mount: installs a mount(8) that returns 2 s after it has mounted.
slow_mount() {
    cat >"$scratch/bin/mount" <<END
#!/bin/sh
$(type -P mount) "\$@"
status=\$?
sleep 2
exit \$status
END
    chmod +x "$scratch/bin/mount"
}

checking "SIGTERM in the last step of the start, with the mount in use already: nothing is lost"
slow_mount
: >"$up_output"
PATH=$scratch/bin:$PATH setsid "$RAMDISK_NBD" up --size 32M --mount "$mount_point" </dev/null \
    >"$up_output" 2>>"$up_log" &
up_pid=$!
wait_until 60 is_up || fail "up does not mount"
exec 5>"$mount_point/new"
echo "written meanwhile" >&5
kill -TERM "$up_pid"
sleep 5
is_up || fail "the disk is gone, and it is in use"
sync -f "$mount_point" || fail "the file system does not work"
exec 5>&-
# A start that was not completed is a failure.
up_ends 143
nothing_left

checking "SIGTERM to up --daemon before it is ready: it ends the start, and says so"
PATH=$scratch/bin:$PATH setsid "$RAMDISK_NBD" up --size 32M --mount "$mount_point" --daemon \
    </dev/null >"$up_output" 2>>"$up_log" &
up_pid=$!
wait_until 60 is_up || fail "up does not mount"
kill -TERM "$up_pid"
up_ends 143
nothing_left

checking "SIGTERM to up while it makes the disk's memory: it ends at once, and says so"
mkfifo "$scratch/endless"
exec 6<>"$scratch/endless"
for daemon in "" --daemon; do
    setsid "$RAMDISK_NBD" up --size 32M --load "$scratch/endless" $daemon </dev/null >"$up_output" 2>>"$up_log" 6>&- &
    up_pid=$!
    wait_until 60 loads_from "$scratch/endless" || fail "up does not load the disk"
    kill -TERM "$up_pid"
    wait_until 5 up_is_gone || fail "up continues the step that it was told to stop"
    up_ends 143
    nothing_left
done
exec 6>&-

checking "what cannot be read is not gone: without descriptors the disk stays, then goes in order"
up --size 32M --mount "$mount_point"
exec 5>"$mount_point/open"
prlimit --pid "$up_pid" --nofile=3:4096
kill -TERM "$up_pid"
sleep 4
is_up || fail "the disk is gone"
echo more >&5
sync -f "$mount_point" || fail "the file system does not work"
prlimit --pid "$up_pid" --nofile=1024:4096
exec 5>&-
up_ends 0
nothing_left

checking "a claim of another process delays a stop, and does not end it"
up --size 16M
python3 -c 'import os, time
os.open("/dev/nbd0", os.O_RDONLY | os.O_EXCL)
open("held", "w")
time.sleep(5)' &
holder=$!
wait_until 60 test -e held || fail "the device cannot be claimed"
kill -TERM "$up_pid"
sleep 1
! up_is_gone || fail "up took the device away"
wait "$holder"
up_ends 0
nothing_left

checking "a second mount, here or in another mount namespace: down refuses, and has changed nothing"
up --size 32M --mount "$mount_point"
mount --bind "$mount_point" "$scratch/other"
refused 69 "$scratch/other" down "$mount_point"
is_up || fail "down has unmounted it"
umount "$scratch/other"
unshare --mount --propagation private sleep 1000 &
namespace=$!
wait_until 10 namespace_differs "$namespace" || fail "unshare does not start"
refused 69 "in another mount namespace" down "$mount_point"
is_up || fail "down has unmounted it"
kill "$namespace"
wait "$namespace" 2>/dev/null || true
down "$mount_point"
up_ends 0
nothing_left

checking "a device that is merely open: it is detached, said so, and quiet"
up --size 32M --mount "$mount_point"
tail -f /dev/null <"$up_device" &
opener=$!
dmesg --clear
refused 0 "tail (process $opener)" down "$mount_point"
ramdisk list | grep -q " detaching$" || fail "list says: $(ramdisk list)"
sleep 3
(($(dmesg | grep -c nbd0) < 10)) || fail "the kernel's log is not quiet: $(dmesg | tail -n 20)"
kill "$opener"
wait "$opener" 2>/dev/null || true
up_ends 0
nothing_left

checking "a refused down of a disk whose owner is dead leaves the worker that serves it"
up --size 32M --mount "$mount_point" --supervise
worker=$(worker_pid)
kill -KILL "$up_pid"
wait "$up_pid" 2>/dev/null || true
exec 5>"$mount_point/open"
refused 69 "$mount_point is in use" down "$mount_point"
kill -0 "$worker" || fail "down has ended the worker"
echo "still here" >&5
sync -f "$mount_point" || fail "the file system does not work"
exec 5>&-
down "$mount_point"
nothing_left

checking "down of a disk whose owner has a mount namespace of its own"
: >"$up_output"
unshare --mount --propagation private "$RAMDISK_NBD" up --size 32M --mount "$mount_point" \
    </dev/null >"$up_output" 2>>"$up_log" &
up_pid=$!
wait_until 60 up_ready_or_gone || fail "up does not get ready"
up_ready || fail "up ended before it was ready"
down "$mount_point"
up_ends 0
nothing_left

checking "a device of several queues gives its connections the timeout that was asked for"
up --size 16M --mount "$mount_point" --queues 2
dmesg --clear
head -c 2M /dev/zero >"$mount_point/file"
kill -STOP "$up_pid"
timeout 30 dd if=/dev/zero of="$mount_point/file" bs=1M count=8 conv=fsync status=none &
writer=$!
sleep 6
kill -CONT "$up_pid"
wait "$writer" || fail "a write failed"
! dmesg | grep -qE "nbd0: (Send control|Receive control|Connection timed out)" ||
    fail "a connection was given up: $(dmesg | tail -n 5)"
down "$mount_point"
up_ends 0
nothing_left

checking "two downs at once: both say that it is down"
for ((round = 0; round < 8; round++)); do
    up --size 16M --mount "$mount_point"
    timeout 60 "$RAMDISK_NBD" down "$mount_point" >"$scratch/first" 2>&1 &
    first=$!
    status=0
    timeout 60 "$RAMDISK_NBD" down "$mount_point" >"$scratch/second" 2>&1 || status=$?
    # A `down` that starts when the disk is gone finds none.
    ((status == 0)) || grep -q "there is no disk" "$scratch/second" ||
        fail "the second down ended with $status: $(<"$scratch/second")"
    status=0
    wait "$first" || status=$?
    ((status == 0)) || grep -q "there is no disk" "$scratch/first" ||
        fail "the first down ended with $status: $(<"$scratch/first")"
    up_ends 0
done
nothing_left

checking "a name that is a device and a backing means the device"
up --size 16M
first=$up_pid
up --size 16M --backing nbd0
down nbd0
ramdisk list | grep -q "^/dev/nbd1 .* nbd0 " || fail "list says: $(ramdisk list)"
second=$up_pid up_pid=$first
up_ends 0
down /dev/nbd1
up_pid=$second
up_ends 0
nothing_left

checking "a device that another program detaches is an error"
up --size 32M --mount "$mount_point"
nbd-client -d "$up_device" >/dev/null 2>&1 || fail "nbd-client could not detach it"
up_ends 69
nothing_left

checking "a second disk on a mount point is refused, missing directories are made and removed again"
up --size 16M --mount "$mount_point"
first=$up_pid
refused 69 "is mounted at $mount_point already" up --size 16M --mount "$mount_point"
is_up || fail "the first disk is gone"
mkdir "$scratch/full"
: >"$scratch/full/file"
up --size 16M --mount "$scratch/full"
grep -q "$scratch/full is not empty" "$up_log" || fail "up does not say that it hides files"
down "$scratch/full"
up_ends 0
[[ -e $scratch/full/file ]] || fail "the file is gone"
up_pid=$first
down "$mount_point"
up_ends 0
up --size 16M --mount "$scratch/made/for/it"
down "$scratch/made/for/it"
up_ends 0
[[ ! -e $scratch/made ]] || fail "the directories that were made are still there"
nothing_left

checking "a disk without a mount and one used as swap are listed as what they are"
up --size 64M --filesystem btrfs --mkfs-options --mixed
ramdisk list | grep -qE "^/dev/nbd0 +64M +- +btrfs " || fail "list says: $(ramdisk list)"
down /dev/nbd0
up_ends 0
up --size 16M
quietly "mkswap did not work" mkswap "$up_device"
swapon "$up_device"
ramdisk list | grep -qF "[SWAP]" || fail "list says: $(ramdisk list)"
refused 69 "swapoff" down "$up_device"
swapoff "$up_device"
down "$up_device"
up_ends 0
nothing_left

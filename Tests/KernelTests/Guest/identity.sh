#!/bin/bash
# Memory has an identity besides its name, so that a file system never gets the wrong memory.
#
# takes minutes
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

remember_machine

worker_is_other() {
    local pid
    pid=$(worker_pid)
    [[ -n $pid && $pid != "$worker" ]] && kill -0 "$pid" 2>/dev/null
}

checking "two containers, each with a disk called db: neither takes the other's device"
cat >"$scratch/a.sh" <<END
mount -t tmpfs none /run && mount -t tmpfs none /dev/shm && mkdir -p /run/m
"$RAMDISK_NBD" up --size 32M --supervise --backing db --mount /run/m >/run/out 2>/run/log &
up=\$!
for ((turn = 0; turn < 600; turn++)); do [[ ! -s /run/out ]] || break; sleep 0.1; done
for ((i = 0; i < 200; i++)); do echo "file \$i of A" >/run/m/f\$i; done
sync
touch "$scratch/a-is-up"
while [[ ! -e $scratch/b-began ]]; do sleep 0.05; done
sleep 0.5
worker=\$(sed -n 's/^worker \([0-9]*\) .*/\1/p' /run/ramdisk-nbd/*.disk)
kill -KILL "\$worker"
sleep 10
echo 3 >/proc/sys/vm/drop_caches
for ((i = 0; i < 200; i++)); do
    [[ \$(</run/m/f\$i) == "file \$i of A" ]] || echo "f\$i is wrong" >>"$scratch/wrong"
done
touch "$scratch/a-done"
while [[ ! -e $scratch/b-ended ]]; do sleep 0.05; done
"$RAMDISK_NBD" down /run/m && wait "\$up"
echo "A's up ended with \$?"
END
cat >"$scratch/b.sh" <<END
mount -t tmpfs none /run && mount -t tmpfs none /dev/shm
while [[ ! -e $scratch/a-is-up ]]; do sleep 0.05; done
"$RAMDISK_NBD" up --size 32M --backing db >/run/out 2>/run/log &
up=\$!
for ((turn = 0; turn < 600; turn++)); do [[ ! -s /run/out ]] || break; sleep 0.1; done
touch "$scratch/b-began"
cat /run/out >"$scratch/b-device"
while [[ ! -e $scratch/a-done ]]; do sleep 0.05; done
"$RAMDISK_NBD" down db && wait "\$up"
echo "B's up ended with \$?"
touch "$scratch/b-ended"
END
unshare -pfm --mount-proc bash "$scratch/a.sh" >"$scratch/a.log" 2>&1 &
a=$!
unshare -pfm --mount-proc bash "$scratch/b.sh" >"$scratch/b.log" 2>&1 &
wait "$a" "$!" || fail "a container failed: $(cat "$scratch/a.log" "$scratch/b.log")"
[[ ! -e $scratch/wrong ]] || fail "A reads something else: $(head -n 3 "$scratch/wrong")"
[[ $(<"$scratch/b-device") == /dev/nbd1 ]] || fail "B got $(<"$scratch/b-device")"
grep -q "ended with 0" "$scratch/a.log" || fail "$(<"$scratch/a.log")"
grep -q "ended with 0" "$scratch/b.log" || fail "$(<"$scratch/b.log")"
nothing_left

checking "another process has the supervisor's pid: the next up takes over, and keeps its own record"
cat >"$scratch/again.sh" <<END
"$RAMDISK_NBD" up --size 32M --backing same --supervise --mount $mount_point >$scratch/\$1.out 2>$scratch/\$1.log &
up=\$!
for ((turn = 0; turn < 600; turn++)); do [[ ! -s $scratch/\$1.out ]] || break; sleep 0.1; done
END
unshare -pf --mount-proc bash -c "set -- one; source $scratch/again.sh
    echo kept >$mount_point/file; sync; kill -KILL \$up \$(pgrep -x ramdisk-nbd)"
unshare -pf --mount-proc bash -c "set -- two; source $scratch/again.sh
    cat $mount_point/file >$scratch/found; ls /run/ramdisk-nbd >$scratch/records
    $RAMDISK_NBD down $mount_point; wait \$up" || fail "the second up failed: $(<"$scratch/two.log")"
[[ $(<"$scratch/found") == kept ]] || fail "the file reads: $(<"$scratch/found")"
grep -q '\.disk$' "$scratch/records" || fail "there was no record: $(<"$scratch/records")"
grep -q '\.control$' "$scratch/records" || fail "there was no control socket: $(<"$scratch/records")"
nothing_left

checking "a directory that is spelled otherwise is the same memory, and a relative one is found again"
mkdir "$scratch/memory"
mount -t tmpfs tmpfs "$scratch/memory"
(cd "$scratch/memory" && ramdisk up --size 16M --supervise --daemon --backing x --backing-directory d \
    --mount "$mount_point") >/dev/null || fail "up --daemon ended with $?"
echo kept >"$mount_point/file"
sync
worker=$(worker_pid)
kill -KILL "$worker"
wait_until 60 worker_is_other || fail "no new server came"
[[ $(<"$mount_point/file") == kept ]] || fail "the file is gone"
refused 69 "is up already" up --backing x --backing-directory "$scratch/memory/../memory/d/"
down "$mount_point"
wait_until 20 no_process || fail "a process is still there"
umount "$scratch/memory"

checking "a device without a record of a dead supervisor is taken over only with --force"
up --size 16M --backing forgotten --keep
kill -KILL "$up_pid"
wait "$up_pid" 2>/dev/null || true
rm -r /run/ramdisk-nbd
refused 69 "--force takes it over" up --backing forgotten
up --backing forgotten --force
[[ $up_device == /dev/nbd0 ]] || fail "up printed $(<"$up_output")"
down forgotten
up_ends 0
rm -rf /dev/shm/ramdisk-nbd
nothing_left

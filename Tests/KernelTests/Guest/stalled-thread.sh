#!/bin/bash
# An acknowledged write is never overwritten by an older one. A thread of the server stops after it has received a
# write; the kernel sends that write again over another connection; data written there afterwards stays when the thread
# continues. ROUNDS is the number of threads that are stopped under fio (default 6).
#
# takes minutes
# in-kernel: --timeout 1800
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

requires strace strace
requires python3 python3
block=100
head -c 4096 /dev/zero | tr '\0' A >"$scratch/A"
head -c 4096 /dev/zero | tr '\0' B >"$scratch/B"

# thread_id PID NAME: prints the id of a thread.
thread_id() {
    local task
    for task in "/proc/$1/task/"*; do
        if [[ $(<"$task/comm") == "$2" ]]; then
            echo "${task##*/}"
            return
        fi
    done
    fail "process $1 has no thread $2"
}

write_block() {
    dd if="$1" of="$up_device" bs=4096 seek=$block oflag=direct conv=notrunc status=none ||
        fail "a write failed"
}

read_block() {
    dd if="$up_device" bs=4096 skip=$block count=1 iflag=direct status=none | head -c 1
}

# stall PID INJECTION: stops the first thread that serves for 5 s at each system call of INJECTION.
stall() {
    strace -q -p "$(thread_id "$1" nbd-1)" -e trace="${2%%:*}" -e "inject=$2" -o "$scratch/strace" &
    strace_pid=$!
    wait_until 10 traced "$1" || fail "strace does not attach"
}

traced() {
    grep -q "TracerPid:[[:space:]]*[1-9]" "/proc/$1/task/$(thread_id "$1" nbd-1)/status"
}

go_on() {
    kill "$strace_pid" 2>/dev/null || true
    wait "$strace_pid" 2>/dev/null || true
}

for queues in 1 2 8; do
    for injection in recvmsg:delay_exit=5000000 recvmsg:delay_enter=5000000 \
        sendmsg:delay_enter=5000000 sendmsg:delay_exit=5000000 \
        poll:delay_enter=5000000 poll:delay_exit=5000000; do
        # Without a sibling there is nothing to check.
        [[ $queues$injection != 1poll* ]] || continue
        checking "$queues queues, ${injection%=*}: the newer write stays"
        up --size 16M --supervise --queues "$queues"
        worker=$(worker_pid)
        read_block >/dev/null
        stall "$worker" "$injection"
        write_block "$scratch/A"
        write_block "$scratch/B"
        for ((look = 0; look < 14; look++)); do
            [[ $(read_block) == B ]] || fail "an older write has come through after the newer one"
            sleep 0.5
        done
        go_on
        [[ $(read_block) == B ]] || fail "an older write has come through after the newer one"
        down --all
        up_ends 0
    done
done

# Stops one thread, wherever it is, for longer than the device waits.
stop_thread() {
    python3 - "$1" <<'END'
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
thread = int(sys.argv[1])
if libc.ptrace(SEIZE, thread, None, None) < 0:
    sys.exit(0)  # It has ended meanwhile.
libc.ptrace(INTERRUPT, thread, None, None)
os.waitpid(thread, WALL)
time.sleep(3.5)
libc.ptrace(DETACH, thread, None, None)
END
}

for queues in 1 2 8; do
    checking "$queues queues: threads are stopped at random moments under fio, which verifies"
    up --size 64M --mount "$mount_point" --supervise --queues "$queues"
    dmesg --clear
    : >"$scratch/running"
    while [[ -e $scratch/running ]]; do
        fio --name=load --directory="$mount_point" --ioengine=libaio --direct=1 --rw=randwrite \
            --bs=4k --size=8M --iodepth=32 --verify=crc32c --verify_fatal=1 --randrepeat=0 \
            --max_latency=120s >"$scratch/load.out" 2>&1 || { : >"$scratch/wrong"; break; }
    done &
    load_pid=$!
    for ((round = 0; round < ${ROUNDS:-6}; round++)); do
        sleep "0.$((RANDOM % 10))"
        mapfile -t threads < <(for task in "/proc/$(worker_pid)/task/"*; do
            [[ $(cat "$task/comm" 2>/dev/null) != nbd-[0-9]* ]] || echo "${task##*/}"
        done)
        stop_thread "${threads[RANDOM % ${#threads[@]}]}"
    done
    rm "$scratch/running"
    wait "$load_pid" || true
    [[ ! -e $scratch/wrong ]] || { cat "$scratch/load.out" >&2; fail "fio found something wrong"; }
    ! dmesg | grep -qE 'I/O error|EXT4-fs (error|warning)' || fail "the kernel saw an error"
    down "$mount_point"
    up_ends 0
done

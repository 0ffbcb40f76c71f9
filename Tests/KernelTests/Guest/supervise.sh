#!/bin/bash
# Nothing is lost when the server dies: fio writes at random and verifies while the server is killed
# with SIGKILL again and again, and then while its connections are cut. No I/O error, no wrong block.
#
# KILLS is the number of times for each of the two (default 50).
#
# takes minutes
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

requires python3 python3
kills=${KILLS:-50}
remember_machine

# load: runs fio again and again until the file `enough` exists. Creates the file `wrong` if a verification fails.
load() {
    while [[ ! -e $scratch/enough ]]; do
        fio --name=load --directory="$mount_point" --ioengine=libaio --direct=1 --rw=randwrite \
            --bs=4k --size=16M --iodepth=32 --verify=crc32c --verify_fatal=1 --randrepeat=0 \
            --max_latency=60s >"$scratch/load.out" 2>&1 || { : >"$scratch/wrong"; return; }
        : >"$scratch/round"
    done
}

start_load() {
    rm -f "$scratch/enough" "$scratch/round"
    load &
    load_pid=$!
    # While fio writes: its first round creates the file.
    wait_until 60 test -e "$scratch/round" || nothing_wrong
}

end_load() {
    : >"$scratch/enough"
    wait_until 120 process_gone "$load_pid" || fail "fio does not end"
    nothing_wrong
    ((events == kills)) || fail "there were $events of $kills"
}

nothing_wrong() {
    if [[ -e $scratch/wrong ]]; then
        cat "$scratch/load.out" >&2
        fail "fio found something wrong"
    fi
    ! dmesg | grep -qE 'I/O error|Buffer I/O|EXT4-fs (error|warning)' ||
        fail "the kernel saw an error"
}

worker_is_other() {
    local pid
    pid=$(worker_pid)
    [[ -n $pid && $pid != "$1" ]] && kill -0 "$pid" 2>/dev/null
}

pause() {
    sleep "$((RANDOM % 2)).$((RANDOM % 10))"
}

up --size 64M --mount "$mount_point" --supervise

checking "the server is killed $kills times under fio: no error, no wrong block"
start_load
start=$SECONDS
for ((events = 0; events < kills; events++)); do
    worker=$(worker_pid)
    kill -KILL "$worker" || fail "the worker $worker cannot be killed"
    wait_until 60 worker_is_other "$worker" || fail "no new server came"
    pause
    nothing_wrong
done
end_load
echo "  $kills kills in $((SECONDS - start)) s"

# cut_connections: cuts all connections of the process that the cutter was started for, which takes a while.
start_cutter() {
    coproc cutter { exec "${BASH_SOURCE[0]%/*}/cut-connections" "$1"; }
}

cut_connections() {
    local count
    replaced=$(grep -c "has been replaced" "$up_log")
    echo cut >&"${cutter[1]}"
    read -r count <&"${cutter[0]}" || fail "the connections cannot be cut"
    ((count > 0)) || fail "there is no connection to cut"
    wait_until 60 connection_is_other || fail "no new connection came"
}

connection_is_other() { (($(grep -c "has been replaced" "$up_log") > replaced)); }

stop_cutter() {
    # shellcheck disable=SC2154  # coproc sets it
    local pid=$cutter_PID
    kill "$pid"
    wait "$pid" 2>/dev/null || true
}

checking "its connections are cut $kills times under fio: no error, no wrong block"
worker=$(worker_pid)
start_cutter "$worker"
start_load
start=$SECONDS
for ((events = 0; events < kills; events++)); do
    cut_connections
    pause
    nothing_wrong
done
end_load
stop_cutter
[[ $(worker_pid) == "$worker" ]] || fail "the server was started again, which was not needed"
echo "  $kills cuts in $((SECONDS - start)) s"

checking "a server that hangs is killed and replaced, and the file system is whole"
start_load
kill -STOP "$worker"
wait_until 60 worker_is_other "$worker" || fail "no new server came"
events=$kills
end_load
down "$mount_point"
up_ends 0
nothing_left

checking "the same without a process of its own: cut connections are replaced"
up --size 64M --queues 3 --mount "$mount_point" --timeout 2s
start_cutter "$up_pid"
start_load
cut_connections
end_load
stop_cutter
down "$mount_point"
up_ends 0
nothing_left

checking "a server that is stopped for a while, as by a debugger, is waited for"
up --size 64M --mount "$mount_point"
dmesg --clear
start_load
kill -STOP "$up_pid"
sleep 15
kill -CONT "$up_pid"
end_load
! dmesg | grep -q "timed out" || fail "the device gave up"
down "$mount_point"
up_ends 0
nothing_left

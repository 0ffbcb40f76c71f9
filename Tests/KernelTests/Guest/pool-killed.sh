#!/bin/bash
# `pool up` is killed at each of its steps: `pool down` then undoes its completed steps.
#
# only by name
# in-kernel: --modules nbd,ipv6,md-mod,raid0,raid1,raid10,veth,sch_netem --nbds 8 --memory 768M
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"
source "${BASH_SOURCE[0]%/*}/pool-lib.sh"

remember_machine
add_host a
serve_host a --size 32M
a=$(host_uri a)
mkdir "$scratch/bin"

# start_pool: `pool up` in the background of a session of its own.
start_pool() {
    setsid "$RAMDISK_NBD" pool up --level 1 --mount "$scratch/r/s" --name r local=32M "$a" \
        </dev/null >"$scratch/pool.out" 2>"$pool_log" 9>&- &
    pool_pid=$!
}

# Takes the pool down, of which there may be nothing.
clean_up_pool() {
    local status=0
    timeout 90 "$RAMDISK_NBD" pool down r >"$scratch/said" 2>&1 || status=$?
    if ((status != 0)) && ! grep -q "there is no pool r" "$scratch/said"; then
        fail "pool down ended with status $status after $1: $(<"$scratch/said")"
    fi
    no_pool
    [[ ! -e $scratch/r ]] || fail "the mount point is left after $1"
}

checking "killed before and after each program that it runs"
# In place of each program: its shell kills `pool up`, before or after the real program runs.
for program in mdadm blkid wipefs mkfs.ext4 mount; do
    cat >"$scratch/bin/$program" <<SCRIPT
#!/bin/bash
count=\$((\$(cat "$scratch/count") - 1))
echo "\$count" >"$scratch/count"
if [[ \$count == 0 ]]; then
    [[ -e "$scratch/late" ]] && "$(type -P "$program")" "\$@"
    kill -KILL "\$(<"$scratch/pid")"
    [[ -e "$scratch/late" ]] && exit 0
fi
exec "$(type -P "$program")" "\$@"
SCRIPT
    chmod +x "$scratch/bin/$program"
done
kills=0
for moment in early late; do
    [[ $moment == early ]] || touch "$scratch/late"
    for ((step = 1; ; step++)); do
        echo "$step" >"$scratch/count"
        : >"$scratch/pid"
        PATH=$scratch/bin:$PATH start_pool
        echo "$pool_pid" >"$scratch/pid"
        status=0
        wait "$pool_pid" 2>/dev/null || status=$?
        clean_up_pool "program $step, $moment"
        ((status == 137)) || break
        kills=$((kills + 1))
    done
    ((status == 0)) || fail "pool up ended with status $status: $(<"$pool_log")"
done
((kills >= 12)) || fail "it was killed only $kills times"
echo "  killed $kills times"

checking "killed after any time"
start=${EPOCHREALTIME/./}
start_pool
wait "$pool_pid" || fail "pool up failed: $(<"$pool_log")"
whole=$(((${EPOCHREALTIME/./} - start) / 1000))
clean_up_pool "a whole start"
for ((delay = 0; delay < whole; delay += whole / 40 + 1)); do
    start_pool
    sleep "$((delay / 1000)).$(printf %03d $((delay % 1000)))"
    kill -KILL "$pool_pid" 2>/dev/null || true
    wait "$pool_pid" 2>/dev/null || true
    clean_up_pool "$delay ms"
done

checking "stopped by SIGTERM, it undoes what it has done itself"
for ((delay = 50; delay < whole; delay += whole / 6 + 1)); do
    start_pool
    sleep "$((delay / 1000)).$(printf %03d $((delay % 1000)))"
    kill -TERM "$pool_pid" 2>/dev/null || true
    status=0
    wait "$pool_pid" || status=$?
    if ((status == 0)); then
        clean_up_pool "SIGTERM that came too late"
    else
        ((status == 143)) || fail "it ended with status $status: $(<"$pool_log")"
        no_pool
    fi
done

stop_hosts
nothing_left

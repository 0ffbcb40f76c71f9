#!/bin/bash
# Hosts of a pool are killed, stopped and cut off under fio: no error as long as the data is elsewhere, a pause of at
# most five seconds, and no old block afterwards. ROUNDS is how often each fault is tried (default 5).
#
# only by name
# in-kernel: --modules nbd,ipv6,md-mod,raid0,raid1,raid10,veth,sch_netem --nbds 8 --memory 768M
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"
source "${BASH_SOURCE[0]%/*}/pool-lib.sh"

rounds=${ROUNDS:-5}
remember_machine
for host in a b c d; do add_host "$host"; done
a=$(host_uri a) b=$(host_uri b) c=$(host_uri c) d=$(host_uri d)

# is_dropped URI: whether the array has dropped the member.
is_dropped() { status_is " faulty +$1$"; }

# device_of URI: prints the name of a member's device.
device_of() {
    ramdisk pool status | awk -v member="$1" '$NF == member { sub("/dev/", "", $1); print $1 }'
}

# comes_back HOST OPTION...: the member comes back, and is filled.
comes_back() {
    local uri
    uri=$(host_uri "$1")
    wait_until 20 is_dropped "$uri" || fail "the array still uses host $1: $(ramdisk pool status)"
    pool replace r "$uri" "$uri" "${@:2}"
}

checking "a mirror of two hosts: one is killed under fio, $rounds times"
serve_host a --size 32M
serve_host b --size 32M
pool up --level 1 --name r "$a" "$b"
await_idle
for ((round = 0; round < rounds; round++)); do
    host=$( ((round % 2)) && echo b || echo a)
    start_load
    sleep 1
    kill_host "$host"
    load_ends "host $host was killed"
    serve_host "$host" --size 32M
    comes_back "$host"
    pool_says "survives the loss of any 1 of 2 members"
done
same_everywhere

checking "one is stopped (SIGSTOP) under fio, and continues after the array has dropped it, $rounds times"
for ((round = 0; round < rounds; round++)); do
    host=$( ((round % 2)) && echo b || echo a)
    start_load
    sleep 1
    kill -STOP "${host_pid[$host]}"
    load_ends "host $host was stopped"
    kill -CONT "${host_pid[$host]}"
    comes_back "$host" --re-add
    same_everywhere
done

checking "one is cut off both ways, with 0.2 and 2 ms of delay"
for delay in 0.2ms 2ms; do
    for host in a b; do tc qdisc replace dev "to-$host" root netem delay "$delay"; done
    start_load
    sleep 1
    tc qdisc replace dev to-b root netem loss 100%
    tc -n b qdisc replace dev uplink root netem loss 100%
    load_ends "host b was cut off"
    tc qdisc del dev to-b root
    tc -n b qdisc del dev uplink root
    comes_back b --re-add
    same_everywhere
done
for host in a b; do tc qdisc del dev "to-$host" root 2>/dev/null || true; done

checking "1 and 10 % of packets are lost: fio sees no error"
for loss in 1% 10%; do
    tc qdisc replace dev to-b root netem delay 0.2ms loss "$loss"
    start_load
    load_ends "$loss of packets were lost"
    ! is_dropped "$b" || { echo "  the array has dropped host b"; comes_back b --re-add; }
done
tc qdisc del dev to-b root

checking "a member that comes back with its memory gets what was written meanwhile, and little more"
await_idle
sleep 6 # the kernel clears the bitmap after five seconds
kill -STOP "${host_pid[b]}"
written=$((4 << 20))
run_fio meanwhile --filename="$(array)" --rw=write --bs=64k --size="$written" --offset=8M --iodepth=4
wait_until 20 is_dropped "$b" || fail "the array still uses host b"
kill -CONT "${host_pid[b]}"
# The counters of a device outlive an attachment.
declare -A sectors=()
for path in /sys/block/nbd*; do sectors[${path##*/}]=$(awk '{ print $7 }' "$path/stat"); done
pool replace r "$b" "$b" --re-add
device=$(device_of "$b")
copied=$((($(awk '{ print $7 }' "/sys/block/$device/stat") - sectors[$device]) * 512))
echo "  $written bytes were written meanwhile, $copied bytes copied"
((copied <= 2 * written)) || fail "$copied bytes were copied for $written that had been written"
same_everywhere

checking "a member with old data never serves it: what it held is overwritten"
pattern() { head -c 16M < <(yes "$1"); }
pattern new >"$scratch/new"
kill -STOP "${host_pid[b]}"
dd if="$scratch/new" of="$(array)" bs=1M oflag=direct status=none || fail "the array cannot be written"
kill -CONT "${host_pid[b]}"
comes_back b
kill_host a
cmp -n $((16 << 20)) "$scratch/new" <(dd if="$(array)" bs=1M count=16 iflag=direct status=none) ||
    fail "an old block was read"

checking "both are lost: the array says so, and neither reads nor writes"
status_says "does not survive the loss of a member"
kill_host b
! dd if="$(array)" of=/dev/null bs=4096 count=1 iflag=direct status=none 2>/dev/null || fail "a read succeeds"
! dd if=/dev/zero of="$(array)" bs=4096 count=1 oflag=direct status=none 2>/dev/null || fail "a write succeeds"
status_says "has lost data"
status_says " silent +| faulty +"
pool down r
no_pool

checking "level 10 over four hosts: each one is killed in turn, and replaced"
for host in a b c d; do serve_host "$host" --size 16M; done
pool up --level 10 --name r "$a" "$b" "$c" "$d"
await_idle
for host in a b c d; do
    start_load
    sleep 1
    kill_host "$host"
    load_ends "host $host was killed"
    serve_host "$host" --size 16M
    comes_back "$host"
    pool_says "survives the loss of any 1 of 4 members"
done
same_everywhere

checking "two that hold the same blocks are lost: no old or empty block is read"
kill_host a
kill_host b
! dd if="$(array)" of=/dev/null bs=1M iflag=direct status=none 2>/dev/null || fail "all of it can be read"
! dd if=/dev/zero of="$(array)" bs=64k count=8 oflag=direct status=none 2>/dev/null || fail "all of it can be written"
status_says "has lost data"
pool down r
no_pool
stop_hosts
nothing_left

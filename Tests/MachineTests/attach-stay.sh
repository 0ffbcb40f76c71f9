#!/bin/bash
# `attach --stay` keeps a device alive across a lost link and a restarted server, and `attach` again to a
# device whose connections are dead connects it anew (B3).
source "${BASH_SOURCE[0]%/*}/lib.sh"

# A host of its own for the server, at the other end of a link.
ip netns add far
ip link add near0 type veth peer name far0 netns far
ip address add 192.0.2.1/24 dev near0
ip link set near0 up
ip -n far address add 192.0.2.2/24 dev far0
ip -n far link set far0 up
ip -n far link set lo up

start_far_server() {
    in_background ip netns exec far "$RAMDISK_NBD" serve --size 64M --listen 192.0.2.2 --backing far --keep
    server=$job
    wait_until 30 grep -q '^nbd' "$scratch/ip.out" || { cat "$scratch/ip.out" >&2; fail "the server did not start"; }
}

# start_load DEVICE: reads and writes with verification for a while; sets load.
start_load() {
    in_background fio --name=load --filename="$1" --ioengine=libaio --direct=1 --rw=randrw --bs=4k \
        --iodepth=8 --size=48M --io_size=400M --rate_iops=400,400 --verify=crc32c --verify_fatal=1 \
        --verify_backlog=64 --randrepeat=0 --time_based --runtime=40
    load=$job
}

load_ended_well() {
    wait_until 180 process_gone "$load" || fail "fio hangs"
    wait "$load" || { tail -n 20 "$scratch/fio.out" >&2; fail "fio saw an error"; }
}

cut_link() {
    ip link set near0 down
    sleep 9
    ip link set near0 up
}

uri=nbd://192.0.2.2
start_far_server

checking "attach --stay: 9 seconds without the link are a pause"
in_background "$RAMDISK_NBD" attach "$uri" /dev/nbd5 --stay --timeout 5s --dead-connection-timeout 60s
keeper=$job
wait_until 30 grep -qx /dev/nbd5 "$scratch/ramdisk-nbd.out" ||
    { cat "$scratch/ramdisk-nbd.out" >&2; fail "attach --stay does not print the device"; }
udevadm settle --timeout=60
start_load /dev/nbd5
sleep 5
cut_link
wait_until 30 state_is /dev/nbd5 watched || fail "list says: $(ramdisk list)"
load_ended_well

checking "attach --stay: so is a server that is killed and started again"
start_load /dev/nbd5
sleep 5
kill -KILL "$(pgrep -f 'serve --size 64M --listen 192.0.2.2' | tail -n 1)"
end_job "$server"
sleep 4
start_far_server
load_ended_well

checking "attach --stay detaches the device on SIGTERM"
kill -TERM "$keeper"
wait_until 30 process_gone "$keeper" || fail "the keeper does not end"
wait_until 15 device_detached /dev/nbd5 || fail "it is still attached"

checking "without a keeper, attach to the same device connects it again"
ramdisk attach "$uri" /dev/nbd5 --timeout 5s --dead-connection-timeout 60s >/dev/null || fail "attach failed"
udevadm settle --timeout=60
start_load /dev/nbd5
sleep 5
cut_link
# The kernel has dropped the connection by then, and requests wait.
sleep 2
ramdisk attach "$uri" /dev/nbd5 >/dev/null || fail "attach to a device with dead connections failed"
load_ended_well
state_is /dev/nbd5 attached || fail "list says: $(ramdisk list)"

checking "a device that is alive is refused"
refused "alive" attach "$uri" /dev/nbd5
ramdisk detach /dev/nbd5 || fail "detach failed"

kill -TERM "$(pgrep -f 'serve --size 64M --listen 192.0.2.2' | tail -n 1)"
wait_until 20 no_process || fail "the server does not end"
rm -rf /dev/shm/ramdisk-nbd
ip link delete near0
ip netns delete far

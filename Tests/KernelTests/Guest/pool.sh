#!/bin/bash
# Pools: arrays of this machine's memory and of other hosts' exports, of every level; and what `pool` refuses.
#
# in-kernel: --modules nbd,ipv6,md-mod,raid0,raid1,raid10,veth,sch_netem --nbds 8 --memory 768M
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"
source "${BASH_SOURCE[0]%/*}/pool-lib.sh"

remember_machine
for host in a b c d; do add_host "$host"; done
hosts=(a b c d)
uris=()
for host in "${hosts[@]}"; do uris+=("$(host_uri "$host")"); done
serve_hosts() {
    local host
    for host in "${hosts[@]}"; do serve_host "$host" --size 32M; done
}

checking "a mirror of memory and two hosts: a file system, what it survives, and its members"
serve_hosts
pool up --level 1 --mount "$scratch/r" local=32M "${uris[@]:0:2}"
pool_says "$(array) $scratch/r"
pool_says "survives the loss of any 2 of 3 members"
mountpoint -q "$scratch/r" || fail "it is not mounted"
status_says "^/dev/nbd0 +in sync +local=32M$"
status_says "^/dev/nbd1 +in sync +${uris[0]}$"
for device in nbd1 nbd2; do
    grep -q write_mostly "/sys/block/$(basename "$(array)")/md/dev-$device/state" || fail "$device is read as often as memory"
done
! grep -q write_mostly "/sys/block/$(basename "$(array)")/md/dev-nbd0/state" || fail "memory is read rarely"
ramdisk pool status --json | python3 -c '
import json, sys
pool, = json.load(sys.stdin)
assert pool["canLose"] == 2 and pool["level"] == 1 and pool["mustKeep"] == [], pool
assert [m["state"] for m in pool["members"]] == ["in sync"] * 3, pool
' || fail "the JSON is wrong"
run_fio mirror --directory="$scratch/r" --rw=randwrite --bs=4k --size=8M --iodepth=16 --verify=crc32c
head -c 1M /dev/urandom >"$scratch/data"
cp "$scratch/data" "$scratch/r/data"
sync
same_everywhere

checking "a second pool of that name, a mount point in use and a pool in use are refused"
refused 69 "there is a pool r already" pool up --level 1 --name r local=32M "${uris[2]}"
refused 69 "is mounted at $scratch/r already" pool up --level 1 --name s --mount "$scratch/r" local=32M "${uris[2]}"
exec 7<"$scratch/r/data"
refused 69 "is in use" pool down r
exec 7<&-
refused 69 "it is part of $(basename "$(array)")" down /dev/nbd0
status_says "survives the loss of any 2 of 3 members"
cmp "$scratch/data" "$scratch/r/data" || fail "the file is another"

checking "the mount is one of the network; in another mount namespace, or a second time, it keeps the pool as it is"
# Where mount(8) keeps the options that the kernel does not know, and systemd finds them.
grep -qs "TARGET=$scratch/r .*_netdev" /run/mount/utab || fail "it is not mounted with _netdev"
mount_number() { awk -v point="$scratch/r" '$5 == point { print $1 }' /proc/self/mountinfo; }
number=$(mount_number)
unshare --mount --propagation private sleep 300 &
holder=$!
wait_until 20 grep -qs "$scratch/r" "/proc/$holder/mountinfo"
in_other_namespace() { [[ $(readlink "/proc/$holder/ns/mnt") != "$(readlink /proc/self/ns/mnt)" ]]; }
wait_until 20 in_other_namespace || fail "there is no other mount namespace"
refused 69 "in another mount namespace" pool down r
[[ $(mount_number) == "$number" ]] || fail "it was unmounted, and mounted again"
kill "$holder"
wait "$holder" 2>/dev/null || true
mkdir "$scratch/second"
mount "$(array)" "$scratch/second"
refused 69 "it is mounted at $scratch/second" pool down r
[[ $(mount_number) == "$number" ]] || fail "it was unmounted, and mounted again"
umount "$scratch/second"
rmdir "$scratch/second"

checking "down leaves nothing; up with the same hosts finds the file system, and fills this machine's memory"
pool down "$scratch/r"
no_pool
[[ ! -e $scratch/r ]] || fail "the mount point is left"
pool up --level 1 --mount "$scratch/r" local=32M "${uris[@]:0:2}"
cmp "$scratch/data" "$scratch/r/data" || fail "the file is another"
await_status "survives the loss of any 2 of 3 members"
same_everywhere
pool down r
no_pool

checking "members of that array are not overwritten, with other members, levels or without one"
refused 69 "of level 1 with 3 members, not of level 10 with 2" pool up --level 10 "${uris[@]:0:2}"
refused 69 "with 3 members, not of level 1 with 2" pool up --level 1 "${uris[@]:0:2}"
no_pool
pool up --level 1 missing "${uris[@]:2:2}"
pool_says "survives the loss of any 1 of 2 members"
pool down pool
refused 69 "is part of the array" pool up --level 1 "${uris[@]:1:2}"
no_pool
pool up --level 1 --force "${uris[@]:1:2}"
pool down pool

checking "members that were each used without the other are refused; one that is let in again is filled"
pool up --level 1 --mount "$scratch/r" "${uris[@]:2:2}" --force
cp "$scratch/data" "$scratch/r/data"
pool down r
pool up --level 1 --mount "$scratch/r" "${uris[2]}" missing
rm "$scratch/r/data"
pool down r
pool up --level 1 --mount "$scratch/r" missing "${uris[3]}"
head -c 1M /dev/zero >"$scratch/r/zeroes"
pool down r
refused 69 "were each used without the other" pool up --level 1 --mount "$scratch/r" "${uris[@]:2:2}"
no_pool
pool up --level 1 --mount "$scratch/r" "${uris[2]}" missing
[[ ! -e $scratch/r/zeroes && ! -e $scratch/r/data ]] || fail "it has the data of the other member"
pool replace r missing "${uris[3]}"
same_everywhere
pool down r
no_pool

checking "a file system is not overwritten"
device=$(ramdisk attach "${uris[0]}") || fail "attach ended with status $?"
wipefs --all --quiet "$device"
quietly "mkfs.ext4 did not work" mkfs.ext4 -q "$device"
ramdisk detach "$device"
refused 69 "${uris[0]} holds ext4" pool up --level 1 local=32M "${uris[0]}"
no_pool
pool up --level 1 --force local=32M "${uris[0]}"
pool down pool

checking "a host that does not reply, and TLS, are refused; nothing is left"
refused 69 "is its server running?" pool up --level 1 local=32M "nbd://10.7.1.2:9"
no_pool
refused 64 "TLS" pool up --level 1 local=32M "nbds://10.7.1.2"
no_pool
stop_hosts

checking "a stripe of two hosts: their sizes add up; it survives nothing, and says so"
serve_hosts
pool up --level 0 --mount "$scratch/r" "${uris[@]:0:2}"
pool_says "does not survive the loss of a member"
(($(blockdev --getsize64 "$(array)") > 60 << 20)) || fail "it has $(blockdev --getsize64 "$(array)") bytes"
run_fio stripe --directory="$scratch/r" --rw=randwrite --bs=64k --size=16M --iodepth=16 --verify=crc32c
refused 64 "level 0" pool replace r "${uris[0]}" local=32M
pool down r
pool up --level 0 --mount "$scratch/r" "${uris[1]}" "${uris[0]}"
run_fio stripe --directory="$scratch/r" --rw=randread --bs=64k --size=16M --verify=crc32c
pool down r
no_pool
stop_hosts

checking "level 10 over four hosts, which a file names"
serve_hosts
printf '%s\n' "# comment" "${uris[0]} # rack 1" "${uris[1]}" "" "${uris[2]}" "${uris[3]}" >"$scratch/members"
pool up --level 10 --mount "$scratch/r" --filesystem ext4 --mkfs-options '-m 0 -L ten' "@$scratch/members"
pool_says "survives the loss of any 1 of 4 members"
run_fio ten --directory="$scratch/r" --rw=randwrite --bs=16k --size=16M --iodepth=16 --verify=crc32c
pool down r

checking "a mirror whose other half comes later, and a member that is replaced while it works"
stop_hosts
serve_hosts
pool up --level 1 --mount "$scratch/r" local=32M missing
pool_says "does not survive the loss of a member"
cp "$scratch/data" "$scratch/r/data"
pool replace r missing "${uris[0]}"
pool_says "survives the loss of any 1 of 2 members"
pool replace r "${uris[0]}" "${uris[1]}"
pool_says "survives the loss of any 1 of 2 members"
! status_is "${uris[0]}" || fail "the old member is still there"
pool replace r local=32M local=32M
status_says "survives the loss of any 1 of 2 members"
cmp "$scratch/data" "$scratch/r/data" || fail "the file is another"
same_everywhere
refused 69 "is in sync" pool replace r "${uris[1]}" "${uris[1]}"
refused 69 "is not a member" pool replace r "${uris[3]}" "${uris[0]}"
pool down r
no_pool

stop_hosts
nothing_left

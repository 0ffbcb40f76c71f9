#!/bin/bash
# One device over four connections, with fio verify and 64 requests in flight.
#
# This kernel has one processor and so one queue, which sends over one connection as long as that is alive. The test
# shows that the server keeps all four and that the kernel accepts them. Other tests, outside this kernel, send
# requests on several connections at a time.
source "${BASH_SOURCE[0]%/*}/lib.sh"

serve --size 64M
attach /dev/nbd0 -C 4

checking "the server sees four connections"
connections=$(ss -Htn state established "sport = :$server_port" | wc -l)
((connections == 4)) || fail "there are $connections connections"

checking "fio verifies with 64 requests in flight"
run_fio many --filename=/dev/nbd0 --rw=randwrite --bs=4k --size=24M --iodepth=64 --verify=crc32c

checking "fio verifies from four jobs at once"
run_fio jobs --filename=/dev/nbd0 --rw=randrw --bs=16k --size=4M --iodepth=16 --verify=crc32c \
    --numjobs=4 --offset_increment=8M

detach /dev/nbd0
checking "after detaching no connection is left"
no_connections() {
    [[ -z $(ss -Htn state established "sport = :$server_port") ]]
}
wait_until 5 no_connections || fail "there are connections left"
stop

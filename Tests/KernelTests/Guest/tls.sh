#!/bin/bash
# The kernel's disk over TLS: nbd-client encrypts with certificates, outside the driver. On the server's side first
# GnuTLS encrypts, then the kernel.
source "${BASH_SOURCE[0]%/*}/lib.sh"

requires nbdcopy libnbd-bin
directory=$(realpath "${BASH_SOURCE[0]%/*}")
quietly "tls init did not work" "$RAMDISK_NBD" tls init "$scratch/pki" --user kernel
client=(-certfile "$scratch/pki/client-cert.pem" -keyfile "$scratch/pki/client-key.pem"
    -cacertfile "$scratch/pki/ca-cert.pem" -tlshostname localhost)
# For clients with GnuTLS, which prefer TLS 1.3.
printf '[overrides]\ndisabled-version = tls1.3\n' >"$scratch/gnutls.conf"

serve_encrypted() {
    serve --tls-certificates "$scratch/pki" --tls-verify-peer
}

# use_disk OPTION...: a file system on it, and random writes that are verified.
use_disk() {
    attach /dev/nbd0 -b 4096 "$@" "${client[@]}"
    quietly "mkfs.ext4 did not work" mkfs.ext4 -q /dev/nbd0
    mount_disk /dev/nbd0
    run_fio files --directory="$mount_point" --rw=randwrite --bs=4k --size=5M --iodepth=16 \
        --verify=crc32c
    unmount_disk
    run_fio blocks --filename=/dev/nbd0 --rw=randwrite --bsrange=4k-1m --size=16M --iodepth=16 \
        --verify=crc32c
    detach /dev/nbd0
}

# copy_both_ways OPTION...: nbdcopy, there and back.
copy_both_ways() {
    local uri="nbds://localhost:$server_port/?tls-certificates=$scratch/pki"
    quietly "nbdcopy to the disk did not work" nbdcopy "$@" "$scratch/random" "$uri"
    quietly "nbdcopy from the disk did not work" nbdcopy "$@" "$uri" "$scratch/copy"
    cmp --bytes=16M "$scratch/random" "$scratch/copy" || fail "the disk does not hold what was copied to it"
}

# served_by AGENT VERSION COUNT: checks that AGENT (kernel or GnuTLS) encrypts COUNT connections, by the log.
served_by() {
    local count
    count=$(grep -c "client=\"\?CN=kernel.*tls=$2 tls-by=$1" "$server_log" || true)
    ((count == $3)) || fail "the log has tls=$2 tls-by=$1 $count times, not $3"
}

# client_ends HOW WORDS: a client that ends like HOW. Checks that the log contains WORDS.
client_ends() {
    local lines
    lines=$(wc -l <"$server_log")
    "$directory/tls-client" "$server_port" "$scratch/pki" "$1" || fail "the client did not: $1"
    said() { tail -n "+$((lines + 1))" "$server_log" | grep -q "connection ended: $1"; }
    wait_until 10 said "$2" || fail "the log does not say: $2"
}

checking "nbd-client attaches with certificates, and the disk holds what is written"
serve_encrypted
use_disk
served_by GnuTLS TLS1.2 1
stop

checking "without a certificate it does not attach"
serve_encrypted
if nbd-client localhost "$server_port" /dev/nbd0 >"$scratch/printed" 2>&1; then
    fail "nbd-client attached without TLS"
fi
stop

checking "the kernel encrypts and decrypts for the server, as soon as its module is there"
for module in ctr gcm ghash-generic tls; do
    modprobe -d /run/modules "$module" || fail "there is no module $module"
done
serve_encrypted
use_disk
served_by kernel TLS1.2 1
stop

checking "over three connections too"
serve_encrypted
use_disk -C 3
served_by kernel TLS1.2 3
stop

checking "nbdcopy has TLS 1.3 by GnuTLS, and TLS 1.2 by the kernel"
head -c 16M /dev/urandom >"$scratch/random"
serve_encrypted
copy_both_ways --connections=1
served_by GnuTLS TLS1.3 2
export GNUTLS_SYSTEM_PRIORITY_FILE=$scratch/gnutls.conf
copy_both_ways --connections=1 --request-size=4096 --requests=128
copy_both_ways --connections=4 --threads=4
unset GNUTLS_SYSTEM_PRIORITY_FILE
served_by kernel TLS1.2 10
stop

checking "connections end as they should, and only those that were broken off are said to be"
serve_encrypted
client_ends leave "the client disconnected"
client_ends bye "the client closed the connection"
client_ends vanish "the client closed the connection"
client_ends half "the client closed the connection"
client_ends garbage "the client sent an invalid TLS record"
client_ends forged "the client sent an invalid TLS record"
copy_both_ways
stop

checking "the kernel has no session left"
sessions_left() { grep -E '^TlsCurr.* [1-9]' /proc/net/tls_stat; }
no_sessions() { [[ -z $(sessions_left) ]]; }
wait_until 5 no_sessions || fail "there are some: $(sessions_left)"
grep -qE '^TlsTxSw.*[1-9]' /proc/net/tls_stat || fail "it has never had one"

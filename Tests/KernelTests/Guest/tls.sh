#!/bin/bash
# The kernel's disk over TLS: nbd-client encrypts, with certificates, and the kernel does not know.
# Then the server's side of it by the kernel itself, where GnuTLS is told to let it.
# in-kernel: --modules nbd,ipv6,tls
# by name only: what the kernel offers for TLS differs.
source "${BASH_SOURCE[0]%/*}/lib.sh"

"$RAMDISK_NBD" tls init "$scratch/pki" --user kernel >/dev/null || fail "tls init did not work"
client=(-certfile "$scratch/pki/client-cert.pem" -keyfile "$scratch/pki/client-key.pem"
    -cacertfile "$scratch/pki/ca-cert.pem" -tlshostname localhost)

# use_disk: a file system on it, and random writes that are verified.
use_disk() {
    attach /dev/nbd0 -b 4096 "${client[@]}"
    quietly "mkfs.ext4 did not work" mkfs.ext4 -q /dev/nbd0
    mount_disk /dev/nbd0
    run_fio files --directory="$mount_point" --rw=randwrite --bs=4k --size=10M --iodepth=16 \
        --verify=crc32c
    unmount_disk
    detach /dev/nbd0
}

checking "nbd-client attaches with certificates, and the disk holds what is written"
serve --tls-certificates "$scratch/pki" --tls-verify-client
use_disk
grep -q 'client="CN=kernel".*tls-by=GnuTLS' "$server_log" || fail "the log does not say who encrypts"
stop

checking "without a certificate it does not"
serve --tls-certificates "$scratch/pki" --tls-verify-client
if nbd-client localhost "$server_port" /dev/nbd0 >"$scratch/printed" 2>&1; then
    fail "nbd-client attached without TLS"
fi
stop

checking "the kernel encrypts and decrypts for the server, if GnuTLS is told to let it"
printf '[global]\nktls = true\n' >"$scratch/gnutls.conf"
export GNUTLS_SYSTEM_PRIORITY_FILE=$scratch/gnutls.conf
serve --tls-certificates "$scratch/pki" --tls-verify-client
unset GNUTLS_SYSTEM_PRIORITY_FILE
use_disk
grep -q 'tls-by=kernel' "$server_log" || fail "the log does not say that the kernel encrypts"
stop

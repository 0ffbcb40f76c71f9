#!/bin/bash
# A `down` that is refused has changed nothing, also where the disk is mounted a second time, in this
# mount namespace or in another one such as a container's (B5).
source "${BASH_SOURCE[0]%/*}/lib.sh"

unchanged() {
    mountpoint -q /mnt/r || fail "$1: the mount point is gone"
    [[ $(</mnt/r/file) == content ]] || fail "$1: the file is gone"
    state_is "$device" up || fail "$1: list says $(ramdisk list)"
}

read -r device _ < <(ramdisk up --size 32M --mount /mnt/r --daemon)
echo content >/mnt/r/file
udevadm settle --timeout=60

checking "a file is open"
exec 8</mnt/r/file
refused "use|busy" down /mnt/r
exec 8<&-
unchanged "a file is open"

checking "mounted at a second place"
mkdir -p /mnt/second
mount "$device" /mnt/second
refused "/mnt/second" down /mnt/r
unchanged "a second mount"
umount /mnt/second

checking "a folder of it is bound to another place"
mkdir -p /mnt/r/folder /mnt/bound
mount --bind /mnt/r/folder /mnt/bound
refused "/mnt/bound" down /mnt/r
unchanged "a bind mount"
umount /mnt/bound
rmdir /mnt/r/folder

checking "mounted in another mount namespace, whose process is named"
in_background unshare --mount --propagation private sleep 600
sleep 1
refused "(^|[^0-9])$job([^0-9]|$)" down /mnt/r
unchanged "another namespace"
refused "." down "$device"
unchanged "another namespace, by the device"
end_job "$job"

checking "without users it goes down"
wait_until 10 ramdisk down /mnt/r || fail "down failed"

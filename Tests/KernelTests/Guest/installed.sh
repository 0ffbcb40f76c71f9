#!/bin/bash
# A kernel disk on a machine with the program installed: what the Tab key offers, and what a package's scripts do.
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

removal=$repository/debian/ramdisk-nbd.prerm
mkdir "$scratch/bin"
ln -s "$RAMDISK_NBD" "$scratch/bin/ramdisk-nbd"
PATH=$scratch/bin:$PATH

# offers WORDS EXPECTED: checks what bash offers for the last of the words, which is empty if they end with a space.
offers() {
    # shellcheck disable=SC2016 # the inner shell's variables
    bash -c 'eval "$(ramdisk-nbd --generate-completion-script bash)"
        COMP_LINE=$1 COMP_POINT=${#1}
        read -ra COMP_WORDS <<<"$1"
        [[ $1 != *" " ]] || COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _ramdisk-nbd ramdisk-nbd "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        echo "${COMPREPLY[*]}"' offers "ramdisk-nbd $1" >"$scratch/offered"
    [[ $(<"$scratch/offered") == "$2" ]] || fail "after \"$1\" it offers \"$(<"$scratch/offered")\", not \"$2\""
}

up --size 32M --backing tabbed --device /dev/nbd1 --mount "$mount_point"

checking "the Tab key offers mount point, device and backing to down, and only free devices to up"
offers "down " "$mount_point /dev/nbd1 tabbed"
offers "detach /dev/nbd" "/dev/nbd1"
offers "up --device /dev/nbd1" ""
offers "up --device /dev/nbd2" "/dev/nbd2"

checking "the package is not removed while a disk is up, and upgraded without touching it"
refused_removal() {
    ! bash "$removal" remove >"$scratch/said" 2>&1 || fail "the removal was not refused"
    grep -q "$mount_point" "$scratch/said" || fail "it does not name the disk: $(<"$scratch/said")"
    grep -q "not removed" "$scratch/said" || fail "it says: $(<"$scratch/said")"
}
refused_removal
bash "$removal" upgrade 1.0
kill -0 "$up_pid"
mountpoint -q "$mount_point" || fail "the disk is gone"

checking "nor while its supervisor is dead; and it is removed when no disk is left"
kill -KILL "$up_pid"
{ wait "$up_pid"; } 2>/dev/null || true
refused_removal
down "$mount_point"
bash "$removal" remove || fail "the removal is refused without a disk"

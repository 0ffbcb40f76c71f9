#!/bin/bash
# Shutdown in systemd's order: all processes end except those that storage needs, then file systems are unmounted. All
# written data is there, and no process waits for a dead server.
source "${BASH_SOURCE[0]%/*}/lib.sh"
source "${BASH_SOURCE[0]%/*}/up-lib.sh"

remember_machine

rig=" $(echo /proc/[0-9]*) "

# end_all SIGNAL: signals all processes, as systemd-shutdown does, except this test and those that ran before it.
end_all() {
    local path command
    for path in /proc/[0-9]*; do
        [[ $rig != *" $path "* && ${path#/proc/} != "$BASHPID" ]] || continue
        # A process may have ended by now.
        command=$(tr '\0' ' ' 2>/dev/null <"$path/cmdline") || continue
        [[ -z $command || $command == @* ]] || kill "-$1" "${path#/proc/}" || true
    done
}

# alive PROCESS: whether it exists and is not a zombie.
alive() {
    [[ $(awk '$1 == "State:" { print $2 }' "/proc/$1/status") == [^Z] ]]
}

for supervise in "" --supervise; do
    checking "a program that does not end holds the disk${supervise:+, with $supervise}"
    up --size 32M --mount "$mount_point" $supervise
    (
        trap '' TERM
        exec 8>"$mount_point/open" sleep 600
    ) &
    holder=$!
    head -c 10M /dev/urandom | tee "$mount_point/file" | sha256sum >"$scratch/before"
    end_all TERM
    alive "$holder" || fail "it does end: this test shows nothing"
    end_all KILL
    wait "$holder" 2>/dev/null || true
    alive "$up_pid" || fail "the server was ended"
    timeout 20 umount "$mount_point" || fail "umount hangs"
    mount -o ro /dev/nbd0 "$mount_point"
    sha256sum <"$mount_point/file" >"$scratch/after"
    cmp -s "$scratch/before" "$scratch/after" || fail "what was written last is not there"
    umount "$mount_point"
    down --all
    up_ends 0
    nothing_left
done

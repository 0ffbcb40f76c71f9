#!/bin/bash
# `down` while a program has the device open without a mount: `list` shows the disk as detaching, the kernel log stays
# quiet, and the disk is gone when the program closes the device (B4).
source "${BASH_SOURCE[0]%/*}/lib.sh"

list_is_empty() { [[ $(ramdisk list --json | tr -d ' \n') == "[]" ]]; }

for options in "" "--supervise"; do
    checking "down with the device open${options:+, with $options}: it is detaching, and says so"
    # shellcheck disable=SC2086 # one option or none
    read -r device _ < <(ramdisk up --size 32M --mount /mnt/r --daemon $options)
    udevadm settle --timeout=60
    # shellcheck disable=SC2016 # the inner shell's argument
    in_background bash -c 'exec 8<"$1"; exec sleep 600' opener "$device"
    opener=$job
    sleep 0.5
    mark_kernel_log
    timeout 120 "$RAMDISK_NBD" down "$device" >"$scratch/down.out" 2>&1 &
    downing=$!
    wait_until 30 state_is "$device" detaching || fail "list says: $(ramdisk list)"

    checking "the kernel log stays quiet while it lasts"
    sleep 10
    state_is "$device" detaching || fail "list says: $(ramdisk list)"
    lines=$(kernel_log | grep -c nbd || true)
    ((lines <= 10)) || { kernel_log | tail -n 5 >&2; fail "$lines lines of the kernel log in 10 seconds"; }
    kernel_log_lacks "cannot reconfigure" "reconnections that no process should attempt"

    checking "it ends when the device is closed"
    end_job "$opener"
    wait_until 15 device_detached "$device" || fail "it is still attached"
    wait_until 15 no_process || fail "the program still runs"
    wait "$downing" || true
    list_is_empty || fail "list says: $(ramdisk list)"
done

# shellcheck shell=bash
# The kernel's nbd devices: find a free one, attach, detach. Sourced after server.sh, by the demo and by the kernel
# tests.

# first_free_device: prints the first /dev/nbdN without a server.
first_free_device() {
    local number device
    for ((number = 0; number < 64; number++)); do
        device=/dev/nbd$number
        if [[ -b $device ]] && ! device_attached "$device"; then
            echo "$device"
            return
        fi
    done
    echo "There is no free /dev/nbdN. Is the kernel's nbd driver loaded (modprobe nbd)?" >&2
    return 1
}

device_attached() {
    [[ -e /sys/block/${1#/dev/}/pid ]]
}

device_detached() {
    ! device_attached "$1"
}

# attach_device DEVICE OPTION...: attaches the server of start_server, by nbd-client with OPTIONs.
attach_device() {
    # shellcheck disable=SC2154  # server.sh sets server_port
    nbd-client "${@:2}" localhost "$server_port" "$1" || return 1
    wait_until 10 device_ready "$1"
}

# nbd-client may return a moment before the kernel has set the device's size.
device_ready() {
    device_attached "$1" && (($(<"/sys/block/${1#/dev/}/size") > 0))
}

# detach_device DEVICE: detaches it, and returns when it is free.
detach_device() {
    nbd-client -d "$1" || return 1
    wait_until 10 device_detached "$1"
}

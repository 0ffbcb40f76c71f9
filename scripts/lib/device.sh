# shellcheck shell=bash
# The kernel's nbd devices: which is free, attach, detach. Sourced after server.sh, by the demo
# and by the kernel tests.

# first_free_device: prints the first /dev/nbdN that nothing is attached to.
first_free_device() {
    local number device
    for ((number = 0; number < 64; number++)); do
        device=/dev/nbd$number
        if [[ -b $device ]] && ! device_attached "$device"; then
            echo "$device"
            return
        fi
    done
    echo "There is no free /dev/nbdN; is the kernel's nbd driver loaded (modprobe nbd)?" >&2
    return 1
}

device_attached() {
    [[ -e /sys/block/${1#/dev/}/pid ]]
}

device_detached() {
    ! device_attached "$1"
}

# attach_device DEVICE OPTION...: nbd-client with OPTIONs, to the server that start_server started.
attach_device() {
    # shellcheck disable=SC2154  # server.sh sets server_port
    nbd-client "${@:2}" localhost "$server_port" "$1" || return 1
    wait_until 10 device_ready "$1"
}

# nbd-client may be back a moment before the kernel has given the device its size.
device_ready() {
    device_attached "$1" && (($(<"/sys/block/${1#/dev/}/size") > 0))
}

# detach_device DEVICE: and back when the device is free again.
detach_device() {
    nbd-client -d "$1" || return 1
    wait_until 10 device_detached "$1"
}

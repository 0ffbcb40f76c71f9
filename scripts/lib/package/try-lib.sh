# shellcheck shell=bash
# What the steps in a bare system share. Sourced by try-inside and try-booted.

trap 'echo "failed: line $LINENO: $BASH_COMMAND" >&2' ERR

apt() {
    # A mirror may be a snapshot, whose lists are older than they may be.
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o Acquire::Check-Valid-Until=false --yes \
        --no-install-recommends "$@" >/root/apt.log 2>&1 ||
        { tail -n 20 /root/apt.log >&2 && return 1; }
}

step() {
    printf '  %s\n' "$*"
}

# shellcheck shell=bash
# Functions for the machine tests; each sources this file first. A test runs as root in the machine that
# scripts/machine-tests boots, and no other test uses that machine at the same time.
#
# A test prints what it checks with `checking`, and ends at the first failure; the next test then gets a new machine.
# After a test that passed, the next one uses the same machine, so the end of a test checks that it has left nothing
# behind. A test that needs a reboot calls `end_machine_by`; scripts/machine-tests then runs it again, with the number of
# the next phase as its argument.
set -euo pipefail

if [[ ${IN_MACHINE-} != yes ]]; then
    echo "This test wants a machine of its own: scripts/machine-tests boots one." >&2
    exit 1
fi

PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin
repository=$(realpath "${BASH_SOURCE[0]%/*}/../..")
# shellcheck source=scripts/lib/server.sh
source "$repository/scripts/lib/server.sh"
# shellcheck source=scripts/lib/device.sh
source "$repository/scripts/lib/device.sh"

export RAMDISK_NBD=/usr/local/bin/ramdisk-nbd
# shellcheck disable=SC2034  # the tests read it
phase=${1:-1}
# What one phase leaves for the next; each phase removes its scratch directory.
kept=/var/lib/machine-tests
mkdir -p "$kept"
scratch=$(mktemp -d /var/tmp/machine-test.XXXXXX)
cd "$scratch"
continues=""
trace=/sys/kernel/tracing

checking() {
    echo "- $*"
}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# quietly MESSAGE COMMAND...: runs COMMAND, and shows its output only if it fails, with MESSAGE.
quietly() {
    "${@:2}" >"$scratch/printed" 2>&1 || {
        cat "$scratch/printed" >&2
        fail "$1"
    }
}

# requires PROGRAM PACKAGE: a missing program is a failure that names the package.
requires() {
    [[ -n $(type -P "$1") ]] || fail "needs $1, from Debian's package $2"
}

# ramdisk ARG...: the program, for a minute at most, or as a test says.
ramdisk_seconds=60
ramdisk() {
    timeout "$ramdisk_seconds" "$RAMDISK_NBD" "$@"
}

# refused TEXT ARG...: the program, with ARGs, fails within a minute and says TEXT (a pattern of grep -E).
refused() {
    local status=0
    ramdisk "${@:2}" >"$scratch/said" 2>&1 </dev/null || status=$?
    ((status != 0)) || fail "${*:2} did what it should refuse: $(<"$scratch/said")"
    ((status != 124)) || fail "${*:2} was still running after a minute"
    grep -qE -- "$1" "$scratch/said" || fail "${*:2} said: $(<"$scratch/said")"
}

# state_of DEVICE: its state as `list` has it; empty when the list does not have it.
state_of() {
    ramdisk list | awk -v device="$1" '$1 == device { print $NF }'
}

state_is() { [[ $(state_of "$1") == "$2" ]]; }

# in_background COMMAND...: with its output in $scratch/NAME.out, NAME being the program's; sets
# `job`. It ends with the test.
jobs_started=()
in_background() {
    setsid "$@" </dev/null >"$scratch/${1##*/}.out" 2>&1 &
    job=$!
    jobs_started+=("$job")
}

# end_job PID: at once.
end_job() {
    # The shell would report the process that was killed.
    {
        kill -KILL "$1"
        wait "$1"
    } 2>/dev/null || true
}

# The kernel's messages since the last mark, without what other drivers say.
mark_kernel_log() {
    mark="machine-test $RANDOM$RANDOM"
    echo "$mark" >/dev/kmsg
}

kernel_log() {
    dmesg | awk -v mark="$mark" 'found { print } index($0, mark) { found = 1 }'
}

# kernel_log_lacks PATTERN WHAT: fails with the lines that match, and WHAT they are.
kernel_log_lacks() {
    if kernel_log | grep -E "$1" >"$scratch/lines"; then
        head -n 10 "$scratch/lines" >&2
        fail "$(wc -l <"$scratch/lines") lines of the kernel log: $2"
    fi
}

# Messages of the kernel when a disk in use disappears, or a request waits too long.
kernel_errors='nbd.*(I/O error|invalid socket|timed out|stuck|not configured|Receive control failed)|I/O error.*nbd|EXT4-fs error|Aborting journal'
# Messages of the kernel when `up` or `attach` ends a connection that the kernel does not read.
# shellcheck disable=SC2034  # the tests read it
kernel_replacements='timed out, retrying|Receive control failed \(result -32\)'

# The kernel's block events note each request's way; nbd's major number is 43. They are read with
# longest_request.
watch_requests() {
    mountpoint -q "$trace" || mount -t tracefs tracefs "$trace"
    echo 0 >"$trace/tracing_on"
    echo >"$trace/trace"
    echo 8192 >"$trace/buffer_size_kb"
    local event
    for event in block_rq_issue block_rq_requeue block_rq_complete; do
        echo "dev >= $((43 << 20)) && dev < $((44 << 20))" >"$trace/events/block/$event/filter"
        echo 1 >"$trace/events/block/$event/enable"
    done
    echo 1 >"$trace/tracing_on"
}

stop_watching_requests() {
    echo 0 >"$trace/tracing_on"
    echo 0 >"$trace/events/block/enable"
    echo >"$trace/trace"
}

# longest_request: milliseconds that the longest request of any nbd device took, from when it was
# first issued; one that is not finished counts as long as it has lasted. With how many there were. Of requests for
# the same sectors at the same time, the first one issued counts as the first one finished. The kernel may merge a
# requeued request into one that begins before it, with which it then finishes. On standard error the function
# describes those that took more than the first argument, in milliseconds.
longest_request() {
    python3 - "$trace/trace" "$1" <<'END'
import re, sys
began, again, longest, count, limit = {}, {}, 0.0, 0, int(sys.argv[2]) / 1000
def describe(key, start, end, finished):
    if end - start > limit:
        print(f"{key[2]} of sector {key[1]} of device {key[0]}: issued at {start:.3f}, "
              f"{'finished' if finished else 'not finished'} at {end:.3f}", file=sys.stderr)
def finish(key, when):
    global count, longest
    count += 1
    start = began[key].pop(0)
    longest = max(longest, when - start)
    describe(key, start, when, True)
event = re.compile(r" ([0-9.]+): block_rq_(issue|requeue|complete): (\d+,\d+) (\S+) .*?(\d+) \+ (\d+) ")
for line in open(sys.argv[1]):
    found = event.search(line)
    if not found:
        continue
    when, kind, device, operation, sector, sectors = found.groups()
    key, when = (device, sector, operation[:1]), float(when)
    waiting = began.setdefault(key, [])
    if kind == "requeue":
        again[key] = again.get(key, 0) + 1
    elif kind == "issue":
        if again.get(key, 0) > 0:
            again[key] -= 1
        else:
            waiting.append(when)
    else:
        if waiting:
            finish(key, when)
        for merged in [merged for merged, requeued in again.items() if requeued > 0 and began[merged]
                       and merged[0] == device and merged[2] == key[2]
                       and int(sector) < int(merged[1]) < int(sector) + int(sectors)]:
            again[merged] -= 1
            finish(merged, when)
with open("/proc/uptime") as uptime:
    now = float(uptime.read().split()[0])
unfinished = [(key, start) for key, waiting in began.items() for start in waiting]
for key, start in unfinished:
    longest = max(longest, now - start)
    describe(key, start, now, False)
print(int(longest * 1000), count, len(unfinished))
END
}

# no_request_over MILLISECONDS: and there were some. Sets `longest_seen`, in milliseconds.
no_request_over() {
    local count unfinished
    read -r longest_seen count unfinished < <(longest_request "$1")
    ((count > 0)) || fail "no request was seen: this test shows nothing"
    ((longest_seen <= $1)) ||
        fail "a request took $longest_seen ms ($count were finished, $unfinished were not)"
}

# install_unit FILE NAME SED...: a unit of contrib/systemd, changed by the SED expressions.
install_unit() {
    local expressions=() expression
    for expression in "${@:3}"; do expressions+=(-e "$expression"); done
    sed "${expressions[@]}" -e '' "$repository/contrib/systemd/$1" >"/etc/systemd/system/$2"
    systemctl daemon-reload
}

# without_partition_scans FILE: removes the errors of a partition scan that has found its device disconnected. A program
# that opens a device, as LVM does, in the instant in which it is disconnected makes the kernel scan it.
without_partition_scans() {
    python3 - "$1" <<'END'
import re, sys
lines = open(sys.argv[1], errors="replace").read().splitlines()
scans = [(float(time), device) for time, device in
         re.findall(r"\[ *([0-9.]+)\] Dev (nbd\d+): unable to read RDB block", "\n".join(lines))]
# A scan reads the first blocks.
error = re.compile(r"\[ *([0-9.]+)\] .*I/O error.*dev (nbd\d+), (?:sector \d{1,2} .*\(READ\)|logical block \d, async page read)")
def of_scan(line):
    found = error.search(line)
    return found and any(found[2] == device and abs(float(found[1]) - time) < 0.5 for time, device in scans)
with open(sys.argv[1], "w") as file:
    file.writelines(line + "\n" for line in lines if not of_scan(line))
END
}

end_mark="machine-test: the machine is to end"

# end_machine_by reboot|poweroff: the test is run again, in its next phase, when the machine is back.
# What the console said until its end is then in /run/machine-tests/console.last.
end_machine_by() {
    continues=yes
    # Urgent enough for the console.
    echo "<3>$end_mark" >/dev/kmsg
    # Later than this script's status is delivered.
    systemd-run --quiet --on-active=2 systemctl "$1"
    exit 75
}

# ended_quietly: the last shutdown, by its console, had no trouble with a disk.
ended_quietly() {
    local console=/run/machine-tests/console.last
    [[ -s $console ]] || fail "there is nothing of the last console"
    grep -aq "$end_mark" "$console" || fail "the last console does not say when the machine was to end"
    # The console has the whole time since the boot: a connection replaced before the end is no trouble.
    mark="$end_mark" replaced="$kernel_replacements" awk \
        'index($0, ENVIRON["mark"]) { ends = 1 } ends || $0 !~ ENVIRON["replaced"]' \
        "$console" >"$scratch/console"
    without_partition_scans "$scratch/console"
    ! grep -aE "$kernel_errors|Failed unmounting|timed out. Killing|Failed to unmount|remounting read-only" \
        "$scratch/console" >"$scratch/lines" || {
        head -n 10 "$scratch/lines" >&2
        fail "the machine did not end quietly"
    }
}

nothing_left() {
    local device path
    for device in /sys/block/nbd*; do
        [[ ! -e $device/pid ]] || fail "/dev/${device##*/} is still attached"
    done
    ! grep -q '^/dev/nbd' /proc/mounts || fail "something is still mounted"
    ! grep -q '^/dev/nbd' /proc/swaps || fail "something is still swap"
    wait_until 10 no_process || fail "the program still runs"
    [[ -z $(ls -A /dev/shm/ramdisk-nbd 2>/dev/null) ]] || fail "named memory is still there"
}

no_process() {
    local path
    for path in /proc/[0-9]*; do
        [[ $(readlink "$path/exe" 2>/dev/null) != "$RAMDISK_NBD" ]] || return 1
    done
}

finish() {
    local status=$? pid
    trap '' HUP INT TERM
    trap - EXIT
    for pid in "${jobs_started[@]}"; do end_job "$pid"; done
    cd /
    rm -rf --one-file-system "$scratch"
    [[ -z $continues ]] || exit "$status"
    if ((status == 0)); then
        # In a subshell: its failure is this test's.
        (nothing_left) || status=1
    fi
    ((status == 0)) || tell_more
    exit "$status"
}

# Prints the logs of the program and of the kernel after a failure.
tell_more() {
    echo "The list of disks:" >&2
    ramdisk list >&2 || true
    echo "The kernel's messages end with:" >&2
    dmesg | tail -n 15 >&2
    echo "The journal of the program ends with:" >&2
    journalctl -b --no-pager -t ramdisk-nbd -n 15 >&2 || true
}

trap finish EXIT
trap 'exit 143' HUP INT TERM

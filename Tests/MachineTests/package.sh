#!/bin/bash
# The Debian package, on a machine without Swift: two commands give a mounted disk, also after a reboot. What a Debian
# user expects is there: manual pages, completions, the journal, units that systemd accepts. Upgrades leave a mounted disk
# as it is, also an unattended one. Removal is refused while the disk is up, and purging leaves no file.
source "${BASH_SOURCE[0]%/*}/lib.sh"

package=$repository/package.deb
# The program of the other tests is out of the way meanwhile.
export RAMDISK_NBD=/usr/bin/ramdisk-nbd
unit=ramdisk-nbd@scratch.service

install_package() {
    quietly "apt could not install ${1##*/}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes "$1"
}

# with_version VERSION: makes VERSION.deb, a copy of the package that says that it is VERSION.
with_version() {
    sed -i "s/^Version: .*/Version: $1-1/" "$scratch/unpacked/DEBIAN/control"
    dpkg-deb --root-owner-group -Znone --build "$scratch/unpacked" "$kept/$1.deb" >/dev/null
}

# What purging must leave: all files but those that package managers and the running system keep.
files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /root -o -path /tmp -o -path /var/tmp \
        -o -path /var/cache -o -path /var/log -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/systemd \
        -o -path /var/lib/unattended-upgrades -o -path "$kept" \) -prune -o -print | sort
}

the_disk_is_up() {
    systemctl is-active --quiet "$unit" || fail "$unit is $(systemctl is-active "$unit")"
    mountpoint -q /mnt/scratch || fail "/mnt/scratch is not mounted"
}

# The disk of phase 1 has a file with a checksum.
the_disk_is_unchanged() {
    the_disk_is_up
    [[ $(systemctl show -P MainPID "$unit") == "$main_process" ]] || fail "$1: the unit has another process"
    (cd /mnt/scratch && sha256sum --quiet -c sum) || fail "$1: the file has changed"
    [[ $(systemctl show -P NeedDaemonReload "$unit") == no ]] || fail "$1: systemd has not read the units again"
}

fill_the_disk() {
    head -c 10M /dev/urandom >/mnt/scratch/file
    (cd /mnt/scratch && sha256sum file >sum)
    main_process=$(systemctl show -P MainPID "$unit")
}

two_commands() {
    local begin=$EPOCHREALTIME
    install_package "$kept/0.0.1.deb"
    local installed=$EPOCHREALTIME
    systemctl enable --now --quiet ramdisk-nbd@scratch || fail "the unit does not start"
    the_disk_is_up
    echo "  (apt install took $(milliseconds "$begin" "$installed") ms)"
    echo "  (systemctl enable --now took $(milliseconds "$installed" "$EPOCHREALTIME") ms)"
}

# milliseconds FROM TO: between two values of EPOCHREALTIME.
milliseconds() {
    echo $(((${2/./} - ${1/./}) / 1000))
}

# Loads the completion as bash does at the first Tab, and prints what it offers for the last word of LINE.
complete_in_bash() {
    # shellcheck disable=SC2016 # the inner shell's arguments
    bash -c 'source /usr/share/bash-completion/bash_completion
        _comp_load ramdisk-nbd 2>/dev/null || __load_completion ramdisk-nbd || _completion_loader ramdisk-nbd || true
        COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=($1) COMP_CWORD=$(($(wc -w <<<"$1") - 1))
        _ramdisk-nbd_whole_words ramdisk-nbd "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf "%s\n" "${COMPREPLY[@]}"' complete "$1"
}

# The manual page, the completion, the journal and the units.
what_users_expect() {
    local path exposure
    man --pager=cat ramdisk-nbd >"$scratch/page" 2>&1 || { cat "$scratch/page" >&2; fail "man ramdisk-nbd"; }
    grep -qi 'ramdisk-nbd(1)' "$scratch/page" || fail "man ramdisk-nbd shows another page"
    [[ $(complete_in_bash 'ramdisk-nbd ser') == serve ]] || fail "it completes: $(complete_in_bash 'ramdisk-nbd ser')"
    [[ $(complete_in_bash 'ramdisk-nbd down /mnt/s') == */mnt/scratch* ]] ||
        fail "it completes: $(complete_in_bash 'ramdisk-nbd down /mnt/s')"
    journalctl -b --no-pager -u "$unit" >"$scratch/journal"
    grep -q /mnt/scratch "$scratch/journal" || { cat "$scratch/journal" >&2; fail "the journal says nothing of the disk"; }
    for path in /usr/lib/systemd/system/ramdisk-nbd*; do
        # A template is checked as an instance.
        systemd-analyze verify "${path/@./@scratch.}" >"$scratch/verified" 2>&1 || true
        ! grep -i ramdisk-nbd "$scratch/verified" >&2 || fail "systemd does not accept $path"
    done
    for path in ramdisk-nbd-serve@scratch.service ramdisk-nbd.service; do
        exposure=$(systemd-analyze security --no-pager "$path" | sed -n 's/.*exposure level for [^:]*: \([0-9.]*\).*/\1/p')
        echo "  ($path is exposed $exposure of 10)"
        awk -v exposure="${exposure:-10}" 'BEGIN { exit !(exposure <= 2.0) }' || fail "$path: over 2.0"
    done
}

# upgrade_unattended: from a repository on this machine.
upgrade_unattended() {
    local place=$kept/repository
    mkdir "$place"
    cp "$package" "$place/"
    (cd "$place" && apt-ftparchive packages . >Packages &&
        apt-ftparchive -o APT::FTPArchive::Release::Origin=machine-tests release . >Release)
    echo "deb [trusted=yes] file:$place ./" >/etc/apt/sources.list.d/machine-tests.list
    echo 'Unattended-Upgrade::Origins-Pattern { "origin=machine-tests"; };' >/etc/apt/apt.conf.d/90machine-tests
    # The machine has no network for other repositories.
    quietly "apt update" apt-get update -o Dir::Etc::SourceList=/dev/null
    PYTHONDONTWRITEBYTECODE=yes unattended-upgrade -v >"$scratch/upgraded" 2>&1 || { cat "$scratch/upgraded" >&2; fail "unattended-upgrade"; }
    [[ $(version) != 0.0.2-1 ]] || { cat "$scratch/upgraded" >&2; fail "unattended-upgrade has not upgraded it"; }
    rm -r "$place" /etc/apt/sources.list.d/machine-tests.list /etc/apt/apt.conf.d/90machine-tests
}

version() { dpkg-query --show --showformat='${Version}' ramdisk-nbd; }

# removal_is_refused: and everything stays.
removal_is_refused() {
    ! env DEBIAN_FRONTEND=noninteractive apt-get remove --yes ramdisk-nbd >"$scratch/said" 2>&1 ||
        fail "the package was removed while its disk was up"
    grep -q "ramdisk-nbd is not removed" "$scratch/said" || { cat "$scratch/said" >&2; fail "apt does not say why"; }
    grep -q "$unit" "$scratch/said" || { cat "$scratch/said" >&2; fail "apt does not name the unit"; }
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' ramdisk-nbd) == installed ]] || fail "dpkg says otherwise"
}

case $phase in
1)
    [[ -e $package ]] || fail "there is no package: build it with scripts/package deb"
    [[ -z $(type -P swift) ]] || fail "the machine has Swift: this shows nothing"
    mv /usr/local/bin/ramdisk-nbd "$kept/program"
    files >"$kept/files"
    dpkg-deb --raw-extract "$package" "$scratch/unpacked"
    with_version 0.0.1
    with_version 0.0.2
    checking "apt install and systemctl enable --now give a mounted disk"
    two_commands
    checking "the manual page, the completion, the journal and the units are what a Debian user expects"
    what_users_expect
    checking "an upgrade leaves the mounted disk and its process as they are"
    fill_the_disk
    install_package "$kept/0.0.2.deb"
    the_disk_is_unchanged "after the upgrade"
    checking "the administrator's file, with a worker of its own for the disk, stays at the next upgrade"
    sed -i -e 's/^size = .*/size = "256M"/' -e 's/^#supervise/supervise/' /etc/ramdisk-nbd/scratch.toml
    end_machine_by reboot
    ;;
2)
    checking "the disk is mounted after the boot"
    the_disk_is_up
    echo "  (mounted $(($(systemctl show -P ActiveEnterTimestampMonotonic "$unit") / 1000)) ms after the kernel's start)"
    echo "  (its unit took $((($(systemctl show -P ActiveEnterTimestampMonotonic "$unit") -
        $(systemctl show -P InactiveExitTimestampMonotonic "$unit")) / 1000)) ms)"
    [[ $(systemctl is-system-running) == running ]] || { systemctl --failed >&2; fail "units have failed"; }
    ended_quietly
    checking "an unattended upgrade leaves the mounted disk as it is"
    fill_the_disk
    worker=$(pgrep -P "$main_process" | head -n 1)
    upgrade_unattended
    the_disk_is_unchanged "after the unattended upgrade"
    grep -q '^size = "256M"' /etc/ramdisk-nbd/scratch.toml || fail "the administrator's file has changed"
    checking "a worker of the new program takes the place of the old one's"
    [[ -n $worker ]] || fail "the supervisor has no worker"
    kill -KILL "$worker"
    echo 3 >/proc/sys/vm/drop_caches
    the_disk_is_unchanged "with a new worker"
    worker=$(pgrep -P "$main_process" | head -n 1)
    [[ $(readlink "/proc/$worker/exe") == "$RAMDISK_NBD" ]] || fail "the worker is $(readlink "/proc/$worker/exe")"
    checking "removal is refused while the disk is up"
    removal_is_refused
    the_disk_is_unchanged "after the refusal"
    checking "removal and purge leave no file"
    systemctl disable --now --quiet "$unit" || fail "the unit does not stop"
    quietly "apt remove" apt-get remove --yes ramdisk-nbd
    [[ ! -e /usr/bin/ramdisk-nbd && -e /etc/ramdisk-nbd/scratch.toml ]] || fail "removal has left or taken too much"
    quietly "apt purge" apt-get purge --yes ramdisk-nbd
    files | diff "$kept/files" - >"$scratch/left" || { cat "$scratch/left" >&2; fail "the files above differ"; }
    [[ -z $(systemctl list-units --all --plain --no-legend 'ramdisk-nbd*') ]] || fail "systemd still has units of it"
    mv "$kept/program" /usr/local/bin/ramdisk-nbd
    export RAMDISK_NBD=/usr/local/bin/ramdisk-nbd
    rm -r "${kept:?}"/*
    ;;
esac

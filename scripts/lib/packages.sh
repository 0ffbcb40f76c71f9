# shellcheck shell=bash
# What the scripts need from outside the repository: Debian's packages, and Swift.
# Sourced, not run. The functions say what they miss in one sentence and return non-zero.

# What a build compiles in when it is there. Every script that builds installs all of it first, so that
# every build is the same, whichever script comes first. systemtap-sdt-dev has sys/sdt.h, and with it
# come the probes.
build_packages=(libgnutls28-dev pkg-config systemtap-sdt-dev)

# Whether apt-get update has run: once is enough, however often packages are asked for.
packages_updated=""

# require_packages PKG...: installs those of Debian's packages that are not installed yet.
require_packages() {
    local package missing=()
    for package in "$@"; do
        package_installed "$package" || missing+=("$package")
    done
    ((${#missing[@]} > 0)) || return 0

    if [[ -z $(type -P apt-get) ]]; then
        echo "Without apt-get, please install these (named as in Debian): ${missing[*]}" >&2
        return 1
    fi
    if ((EUID != 0)) && [[ -z $(type -P sudo) ]]; then
        echo "Without sudo, please run this as root: apt-get install ${missing[*]}" >&2
        return 1
    fi
    echo "Installing Debian's packages: ${missing[*]}"
    if [[ -z $packages_updated ]]; then
        apt_get update || return 1
        packages_updated=yes
    fi
    # Recommended packages are left out: they bring services that nothing here uses.
    apt_get install --yes --no-install-recommends "${missing[@]}"
}

# require_build_packages: what a build compiles in. A build that was made without sys/sdt.h does not
# notice that the header is there now, so its includer is marked as changed.
require_build_packages() {
    local library=${BASH_SOURCE[0]%/*} had_probes=yes
    package_installed systemtap-sdt-dev || had_probes=""
    require_packages "${build_packages[@]}" || return 1
    [[ -n $had_probes ]] || touch --no-create "$library/../../Sources/CLinux/include/CLinux.h"
}

# require_swift: Swift has no Debian package that is recent enough, so this one is the user's to do.
require_swift() {
    [[ -z $(type -P swift) ]] || return 0
    echo "Please install Swift 6.2 or later first, from https://www.swift.org/install/linux/" \
        "(this machine has no \"swift\" on its PATH)." >&2
    return 1
}

# True when dpkg has the package with its files, not only a trace of its configuration.
package_installed() {
    [[ -n $(type -P dpkg-query) ]] || return 1
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# apt_get ARG...: apt-get, as root, without questions, and silent unless it fails. While another
# process, such as an automatic update, holds dpkg's lock, it waits, for five minutes at most.
apt_get() {
    local as_root=() output
    if ((EUID != 0)); then
        echo "(sudo may ask for your password, for: apt-get $*)"
        as_root=(sudo)
    fi
    # Standard input is closed to it: a package's question must not hang a script.
    if ! output=$("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q \
        -o DPkg::Lock::Timeout=300 "$@" 2>&1 </dev/null); then
        printf '%s\n' "$output" | tail -n 20 >&2
        echo "apt-get $1 failed; its last lines are above." >&2
        return 1
    fi
}

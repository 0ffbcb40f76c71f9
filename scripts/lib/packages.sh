# shellcheck shell=bash
# What the scripts need from outside the repository: Debian's packages, and Swift. Sourced. A function that misses
# something prints one sentence and returns non-zero.

# What a build uses if it is installed. Every script that builds installs all of it first, so that every build is the
# same. systemtap-sdt-dev has sys/sdt.h, which the probes need.
build_packages=(libgnutls28-dev libseccomp-dev pkg-config systemtap-sdt-dev)

# Whether apt-get update has run: once per script is enough.
packages_updated=""

# require_packages PKG...: installs the packages of Debian that are missing.
require_packages() {
    local package missing=()
    for package in "$@"; do
        package_installed "$package" || missing+=("$package")
    done
    ((${#missing[@]} > 0)) || return 0

    if [[ -z $(type -P apt-get) ]]; then
        echo "This machine has no apt-get. Install these (named as in Debian): ${missing[*]}" >&2
        return 1
    fi
    if ((EUID != 0)) && [[ -z $(type -P sudo) ]]; then
        echo "This machine has no sudo. Run this as root: apt-get install ${missing[*]}" >&2
        return 1
    fi
    echo "Installing Debian's packages: ${missing[*]}"
    if [[ -z $packages_updated ]]; then
        apt_get update || return 1
        packages_updated=yes
    fi
    # Recommended packages would bring services that no script uses.
    apt_get install --yes --no-install-recommends "${missing[@]}"
}

# require_build_packages: installs what a build uses. A build without sys/sdt.h does not notice a header that is
# installed later, so this marks the file that includes it as changed.
require_build_packages() {
    local library=${BASH_SOURCE[0]%/*} had_probes=yes
    package_installed systemtap-sdt-dev || had_probes=""
    require_packages "${build_packages[@]}" || return 1
    [[ -n $had_probes ]] || touch --no-create "$library/../../Sources/CLinux/include/CLinux.h"
}

# require_swift: checks for Swift. Debian has no recent enough package, so the user must install it.
require_swift() {
    [[ -z $(type -P swift) ]] || return 0
    echo "There is no \"swift\" on the PATH. Install Swift 6.3 or later from" \
        "https://www.swift.org/install/linux/" >&2
    return 1
}

# package_installed PKG: true if dpkg has the package's files, not only its configuration.
package_installed() {
    [[ -n $(type -P dpkg-query) ]] || return 1
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# apt_get ARG...: runs apt-get as root, without questions, and prints its output only if it fails. Waits up to five
# minutes for a lock, which an automatic update may hold.
apt_get() {
    local as_root=() output deadline=$((SECONDS + 300))
    if ((EUID != 0)); then
        echo "(sudo may ask for your password, for: apt-get $*)"
        as_root=(sudo)
    fi
    # Without standard input, so that a package's question cannot hang a script. DPkg::Lock::Timeout is for dpkg's lock
    # alone: `apt-get update` fails at once when another process holds the lock of the package lists.
    until output=$("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q \
        -o DPkg::Lock::Timeout=300 "$@" 2>&1 </dev/null); do
        if [[ $output == *"Could not get lock"* ]] && ((SECONDS < deadline)); then
            sleep 1
            continue
        fi
        printf '%s\n' "$output" | tail -n 20 >&2
        echo "apt-get $1 failed; the last lines of its output are above." >&2
        return 1
    done
}

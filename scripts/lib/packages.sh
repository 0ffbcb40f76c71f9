# shellcheck shell=bash
# What the scripts need from outside the repository: Debian's packages, and Swift.
# Sourced, not run. Both functions say what they miss in one sentence and return non-zero.

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

# apt_get ARG...: apt-get, as root, without questions, and silent unless it fails.
apt_get() {
    local as_root=() output
    if ((EUID != 0)); then
        echo "(sudo may ask for your password, for: apt-get $*)"
        as_root=(sudo)
    fi
    # Standard input is closed to it: a package's question must not hang a script.
    if ! output=$("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" \
        2>&1 </dev/null); then
        printf '%s\n' "$output" | tail -n 20 >&2
        echo "apt-get $1 did not work; its last lines are above." >&2
        return 1
    fi
}

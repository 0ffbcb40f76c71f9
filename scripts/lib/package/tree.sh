# shellcheck shell=bash
# What is installed, and where. Sourced by scripts/package. Every package consists of this tree.
# shellcheck disable=SC2154  # scripts/package sets the repository

# install_tree PROGRAM PREFIX: installs all files below $DESTDIR$PREFIX, and the configuration in $DESTDIR/etc. Files of
# the configuration that exist already stay as they are.
install_tree() {
    local program=$1 prefix=$2 root=${DESTDIR-}$2
    install -D -m 755 "$program" "$root/bin/ramdisk-nbd"
    "$repository/scripts/man" --program "$program" --install "$root/share/man" >/dev/null
    chmod -R u=rwX,go=rX "$root/share/man"
    install_completions "$program" "$root/share" "$prefix"
    install_units "$prefix"
    install_configuration "${DESTDIR-}/etc/ramdisk-nbd"
    install_documents "$root/share/doc/ramdisk-nbd"
    mend_links "$root/share/doc/ramdisk-nbd" "$prefix/lib/systemd/system"
}

install_completions() {
    local program=$1 share=$2 zsh=zsh/site-functions
    # The folders that each shell has for files of packages. zsh has another one for the system's own.
    [[ $3 != /usr ]] || zsh=zsh/vendor-completions
    completion "$program" bash "$share/bash-completion/completions/ramdisk-nbd"
    completion "$program" zsh "$share/$zsh/_ramdisk-nbd"
    completion "$program" fish "$share/fish/vendor_completions.d/ramdisk-nbd.fish"
}

# Shells read these files; the first line of bash's one says that it is a program.
completion() {
    install -D -m 644 <(
        "$1" --generate-completion-script "$2" | sed '1{/^#!/d}'
        [[ $2 != bash ]] || cat "$library/completion.bash"
    ) "$3"
}

# The units with the program's place.
install_units() {
    local unit units=${DESTDIR-}$1/lib/systemd/system
    for unit in "$repository"/contrib/systemd/*.{service,socket}; do
        install -D -m 644 <(without_copying "$unit" | sed "s#/usr/local/bin/#$1/bin/#g") "$units/${unit##*/}"
    done
}

install_configuration() {
    local file
    # For the URIs of ramdisk-nbd-attach@.service.
    install -d -m 755 "$1" "$1/attach"
    for file in "$repository"/contrib/config/*.toml; do
        [[ ! -f $file || -e $1/${file##*/} ]] || install -m 644 <(without_copying "$file") "$1/${file##*/}"
    done
}

# Prints a file of contrib without the lines that tell how to copy it.
without_copying() {
    sed '/^#   cp contrib/d' "$1"
}

install_documents() {
    install -d -m 755 "$1/docs" "$1/examples"
    install -m 644 "$repository"/{README.md,CHANGELOG.md,SECURITY.md,Package.resolved,debian/copyright} "$1/"
    # The documents' paths, such as contrib/backup, are valid here too. Debian's tools leave the modes of files below
    # "examples" alone.
    cp -r "$repository"/docs/{guide,reference,images} "$1/docs/"
    cp -r "$repository"/contrib/{README.md,backup,bpftrace,config,container,grafana,prometheus} "$1/examples/"
    ln -sfn examples "$1/contrib"
    third_party_notices >"$1/NOTICE"
    chmod -R u=rwX,go=rX "$1"
}

# mend_links FOLDER [UNITS]: makes links in documents to what is not installed, or elsewhere, text.
mend_links() {
    python3 -B "$library/mend_links.py" "$@"
}

# Prints the notices of the packages that are linked into the program, as their licence asks. debian/copyright has the
# licences.
third_party_notices() {
    local package folder
    folder=$(checkouts)
    for package in swift-log swift-nio; do
        printf '==== %s\n\n' "$package"
        cat "$folder/$package/NOTICE.txt"
    done
}

# Prints the folder in which a build has the sources of other packages.
checkouts() {
    local folder
    for folder in "$repository"/{.build-package/build,.build}/checkouts; do
        [[ ! -d $folder ]] || { echo "$folder" && return; }
    done
    echo "package: there are no checked-out packages; run swift package resolve" >&2
    return 1
}

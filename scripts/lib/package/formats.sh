# shellcheck shell=bash
# The formats "deb", "source" and "tarball". Sourced by scripts/package.
# shellcheck disable=SC2154  # scripts/package sets the variables

# Makes a folder with the sources, as git would commit them now, and Debian's changelog. Prints its path.
debian_sources() {
    local folder=$work/$1/ramdisk-nbd-$version commit
    mkdir -p "$folder"
    # The commit that "git stash" would make has the changes that are not committed; there is none without changes.
    commit=$(git -C "$repository" stash create)
    git -C "$repository" archive "${commit:-HEAD}" | tar -x -C "$folder"
    # The versions of other packages, which git does not have.
    cp "$repository/Package.resolved" "$folder/"
    cat >"$folder/debian/changelog" <<END
ramdisk-nbd ($version-1) unstable; urgency=medium

  * This version; /usr/share/doc/ramdisk-nbd/CHANGELOG.md says what is new.

 -- $(sed -n 's/^Maintainer: //p' "$folder/debian/control")  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END
    echo "$folder"
}

make_deb() {
    local folder log=$work/deb.log
    remove_older "ramdisk-nbd_*_*.deb"
    require_packages debhelper dpkg-dev python3 man-db
    folder=$(debian_sources deb)
    mkdir "$folder/.build"
    ln -s "$(checkouts)" "$folder/.build/checkouts"
    # Build dependencies name Debian's Swift, but the program is built already.
    if ! (cd "$folder" && RAMDISK_NBD=$program DEB_BUILD_OPTIONS=nocheck \
        dpkg-buildpackage --build=binary --no-sign --no-check-builddeps) >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        echo "package: dpkg-buildpackage failed; the end of its output is above" >&2
        return 1
    fi
    keep "$work"/deb/*.deb
}

make_source() {
    local folder
    remove_older "ramdisk-nbd_*.dsc" "ramdisk-nbd_*.tar.xz"
    require_packages debhelper dpkg-dev
    folder=$(debian_sources source)
    archive "${folder%/*}" "${folder##*/}" --exclude="${folder##*/}/debian" | xz >"$work/source/ramdisk-nbd_$version.orig.tar.xz"
    (cd "$folder" && dpkg-buildpackage --build=source --no-sign --no-check-builddeps) >"$work/source.log" 2>&1
    keep "$work"/source/*.{dsc,tar.xz}
}

# The tree of /usr/local, to be unpacked there or anywhere else; the configuration is among the documents.
make_tarball() {
    local name=ramdisk-nbd-$version-linux-$architecture tree=$work/tarball
    remove_older "ramdisk-nbd-*-linux-$architecture.tar.gz"
    DESTDIR=$tree install_tree "$program" /usr/local
    strip_program "$tree/usr/local/bin/ramdisk-nbd"
    mv "$tree/usr/local" "$tree/$name"
    mv "$tree/etc/ramdisk-nbd" "$tree/$name/share/doc/ramdisk-nbd/configuration"
    install -m 644 "$repository/LICENSE" "$tree/$name/share/doc/ramdisk-nbd/"
    instructions "$name" >"$tree/$name/share/doc/ramdisk-nbd/INSTALL"
    chmod 644 "$tree/$name/share/doc/ramdisk-nbd/INSTALL"
    archive "$tree" "$name" | gzip -9n >"$output/$name.tar.gz"
    echo "$output/$name.tar.gz"
}

# instructions NAME: prints how to install the archive, and what a machine needs, as the program's file says.
instructions() {
    cat <<END
To install, as root:  tar -C /usr/local --strip-components=1 -xzf $1.tar.gz
To remove:            tar -tzf $1.tar.gz | grep -v '/$' | cut -d/ -f2- | (cd /usr/local && xargs rm -f)

share/doc/ramdisk-nbd/configuration belongs to /etc/ramdisk-nbd.

The program is linked statically with Swift's runtime and its packages, and dynamically with the
libraries below, which the machine must have:

END
    readelf --dynamic --wide "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/  \1/p'
    echo
    echo "Oldest versions of their interfaces that will do:"
    echo
    readelf --version-info --wide "$program" | grep -oE '(GLIBC|GLIBCXX|GNUTLS)_[0-9][0-9._]*' | sort -uV |
        awk -F_ '{ newest[$1] = $0 } END { for (name in newest) print "  " newest[name] }' | sort
}

# archive FOLDER NAME [OPTION...]: prints a tar archive of FOLDER/NAME that depends on nothing but its files.
archive() {
    tar -C "$1" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --format=gnu "${@:3}" -c "$2"
}

# Removes the symbols, and leaves the notes of the probes.
strip_program() {
    strip --remove-section=.comment "$1"
}

# remove_older PATTERN...: removes packages of other commits from the default output, so that the commands of the documents,
# which have a pattern in place of the version, mean one file.
remove_older() {
    [[ $output == "$default_output" ]] || return 0
    local pattern
    for pattern in "$@"; do
        find "$output" -maxdepth 1 -type f -name "$pattern" -delete
    done
}

# keep FILE...: moves files to the output, and prints where they are.
keep() {
    local file
    for file in "$@"; do
        mv "$file" "$output/"
        echo "$output/${file##*/}"
    done
}

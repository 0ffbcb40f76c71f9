# shellcheck shell=bash
# The format "image". Sourced by scripts/package after formats.sh.
# shellcheck disable=SC2154  # scripts/package sets the variables

# An image with one layer. buildah runs nothing in it, so no container engine is needed.
make_image() {
    local name=ramdisk-nbd-$version-oci.tar root=$work/image store=$work/store
    # A tag has no plus signs.
    local tag=ramdisk-nbd:${version/+/-}
    if ((EUID != 0)); then
        echo "package: an image has files of root: run this as root" >&2
        return 1
    fi
    remove_older "ramdisk-nbd-*-oci.tar"
    require_packages buildah binutils
    image_root "$root"
    buildah --root "$store/root" --runroot "$store/run" --storage-driver vfs build --quiet --isolation chroot \
        --format oci --timestamp "$SOURCE_DATE_EPOCH" --label "org.opencontainers.image.title=ramdisk-nbd" \
        --label "org.opencontainers.image.version=$version" --label "org.opencontainers.image.licenses=Apache-2.0" \
        --file "$repository/contrib/container/Containerfile" --tag "$tag" "$root" >"$work/image.id"
    # buildah's own archives have the present time.
    buildah --root "$store/root" --runroot "$store/run" --storage-driver vfs push --quiet "$tag" "oci:$work/oci:$tag"
    archive "$work/oci" . >"$output/$name"
    echo "$output/$name"
}

# Makes the image's file system: the program, the libraries that it loads, and the licences of all of them.
image_root() {
    local root=$1 file package
    # Engines mount on the last three.
    mkdir -p "$root"/usr/{bin,lib,lib64} "$root"/{etc,proc,sys,dev}
    mkdir -m 1777 "$root/tmp"
    ln -s usr/lib "$root/lib"
    ln -s usr/lib64 "$root/lib64"
    # Names for the files' owner, and for `--allow-user` and the like.
    echo "root:x:0:0:root:/:/sbin/nologin" >"$root/etc/passwd"
    echo "root:x:0:" >"$root/etc/group"
    install -m 755 "$program" "$root/usr/bin/ramdisk-nbd"
    strip_program "$root/usr/bin/ramdisk-nbd"
    install_documents "$root/usr/share/doc/ramdisk-nbd"
    rm -r "$root"/usr/share/doc/ramdisk-nbd/{docs,examples,contrib}
    mend_links "$root/usr/share/doc/ramdisk-nbd"
    while read -r file; do
        install -D -m 755 "$file" "$root/usr/${file#/usr/}"
        # dpkg knows a file by the path that is in the package, with or without /usr.
        package=$(dpkg-query --search "$file" "/usr$file" 2>/dev/null | cut -d : -f 1 | head -n 1) || true
        install -D -m 644 "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
    done < <(ldd "$program" | grep -oE '/\S+')
    find "$root" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
}

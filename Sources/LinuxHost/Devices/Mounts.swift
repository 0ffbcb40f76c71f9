internal import LinuxIO
internal import Glibc
package import SystemPackage

/// A file system that is mounted.
package struct Mount: Sendable, Equatable {
    /// Where it is mounted.
    package let point: String
    /// Its kind: `ext4`.
    package let type: String
    /// What it was made of: a device's path, mostly.
    package let source: String
    /// What it was mounted with, as mount(8) takes it after -o.
    package let options: String
    /// The group of mounts that share what is mounted and unmounted with this one. mount_namespaces(7)
    var peerGroup: Int?
    /// The group whose mounts and unmounts this one receives.
    var master: Int?

    /// All mounts that this process sees, in order. proc(5), /proc/PID/mountinfo
    package static func table() throws(Errno) -> [Mount] {
        parse(try TextFile.contents(of: "/proc/self/mountinfo"))
    }

    /// The same for display: none when the table cannot be read.
    package static var all: [Mount] { (try? table()) ?? [] }

    /// Where a device is mounted, for display.
    package static func all(of device: String) -> [Mount] {
        all.filter { $0.source == device }
    }

    /// The mounts in the kernel's text; what is no line of it is left out.
    static func parse(_ text: String) -> [Mount] {
        text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ", omittingEmptySubsequences: false)
            // Between the sixth word and a lone dash are any number of tags.
            guard words.count > 6, let dash = words[6...].firstIndex(of: "-"),
                words.count > dash + 2
            else { return nil }
            func group(_ tag: String) -> Int? {
                words[6..<dash].first { $0.hasPrefix(tag) }.flatMap { Int($0.dropFirst(tag.count)) }
            }
            return Mount(
                point: unescaped(words[4]), type: unescaped(words[dash + 1]),
                source: unescaped(words[dash + 2]),
                options: ([words[5]] + words[(dash + 3)...].prefix(1)).map(unescaped)
                    .joined(separator: ","),
                peerGroup: group("shared:"), master: group("master:"))
        }
    }

    /// Those of the others that stay when the kernel unmounts one of the leaders. A mount that another mount
    /// namespace has received, such as that of a systemd service with a namespace of its own, goes with it.
    package static func staying(of others: [Mount], without leaders: [Mount]) -> [Mount] {
        var groups = Set(leaders.compactMap(\.peerGroup))
        let points = Set(leaders.map(\.point))
        var rest = others
        while true {
            let goes = { (mount: Mount) in
                // A bind mount to another place is in the same group, and stays.
                points.contains(mount.point)
                    && [mount.peerGroup, mount.master].contains { $0.map(groups.contains) ?? false }
            }
            let going = rest.filter(goes)
            guard !going.isEmpty else { return rest }
            rest.removeAll(where: goes)
            // What has received it may pass it on.
            groups.formUnion(going.compactMap(\.peerGroup))
        }
    }

    /// Spaces and the like are written as a backslash and three octal digits.
    private static func unescaped(_ word: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = word.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.count >= 3,
                let code = UInt8(String(Substring(rest.prefix(3))), radix: 8)
            {
                bytes.append(code)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Takes the file system off its mount point, once everything is written; throws `resourceBusy`
    /// when it is in use. A lazy one is hidden at once, and taken off when nobody uses it any more.
    /// umount2(2)
    package static func unmount(_ point: String, lazily: Bool = false) throws(Errno) {
        let flags = UMOUNT_NOFOLLOW | (lazily ? MNT_DETACH : 0)
        try checkedErrno(unsafe umount2(point, CInt(flags)))
    }
}

/// How full a file system is. fstatvfs(3)
package struct FileSystemUse: Sendable, Equatable {
    /// Bytes in it.
    package let size: UInt64
    /// Bytes in use.
    package let used: UInt64

    /// Of what is mounted at a path; nil when that cannot be asked.
    package init?(path: String) {
        let number = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else { return nil }
        let file = Descriptor(adopting: number)
        var status = statvfs()
        guard unsafe fstatvfs(file.rawValue, &status) == 0 else { return nil }
        let unit = UInt64(status.f_frsize)
        size = UInt64(status.f_blocks) * unit
        used = (UInt64(status.f_blocks) - UInt64(status.f_bfree)) * unit
    }
}

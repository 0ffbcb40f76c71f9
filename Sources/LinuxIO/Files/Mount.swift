package import SystemPackage

/// A file system that is mounted.
package struct Mount: Sendable, Equatable {
    /// The directory on which it is mounted.
    package let point: String
    /// The type of the file system, such as `ext4`.
    package let type: String
    /// The source of the mount, mostly a device's path.
    package let source: String
    /// The options of the mount and of the file system, as mount(8) takes them after -o.
    package let options: String
    /// The peer group: mounts among which the kernel propagates mounts and unmounts.
    /// mount_namespaces(7)
    package var peerGroup: Int?
    /// The peer group from which this mount receives mounts and unmounts, without sending its own.
    package var master: Int?

    /// Returns all mounts that this process sees, in the kernel's order. proc(5), /proc/PID/mountinfo
    package static func table() throws(Errno) -> [Mount] {
        parse(try TextFile.contents(of: "/proc/self/mountinfo"))
    }

    /// All mounts, for display: none when the table cannot be read.
    package static var all: [Mount] { (try? table()) ?? [] }

    /// Returns the mounts in the kernel's text, without the lines that do not parse.
    package static func parse(_ text: String) -> [Mount] {
        text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ", omittingEmptySubsequences: false)
            // Any number of tags comes between the sixth word and a lone dash.
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

    /// Returns a word of the table without the kernel's escapes: it writes a space, say, as a backslash and
    /// three octal digits.
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
}

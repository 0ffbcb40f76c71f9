// One of the kernel's devices: its number, its path, and what sysfs says of it.

internal import LinuxIO

/// `/dev/nbd0` and so on.
public struct NBDDevice: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The number in its name.
    public let index: UInt32

    /// Largest number: the kernel has 20 bits for it.
    public static var largestIndex: UInt32 { 1 << 20 - 1 }

    /// The device of a number.
    public init(index: UInt32) { self.index = index }

    /// From its path, or its name: `/dev/nbd0`, `nbd0`. Nil for anything else.
    public init?(path: String) {
        var name = path[...]
        if name.hasPrefix("/dev/") { name = name.dropFirst(5) }
        guard name.hasPrefix("nbd") else { return nil }
        let digits = name.dropFirst(3)
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            digits == "0" || !digits.hasPrefix("0"), let index = UInt32(digits),
            index <= Self.largestIndex
        else { return nil }
        self.index = index
    }

    /// Its name: `nbd0`.
    public var name: String { "nbd\(index)" }
    /// Its path: `/dev/nbd0`.
    public var path: String { "/dev/\(name)" }
    /// Its path.
    public var description: String { path }

    /// All devices that the driver has at this moment, in order.
    public static var all: [NBDDevice] {
        Directory.names(in: "/sys/block").compactMap { name in
            name.hasPrefix("nbd") ? NBDDevice(path: name) : nil
        }.sorted()
    }

    /// In the order of their numbers.
    public static func < (first: NBDDevice, second: NBDDevice) -> Bool {
        first.index < second.index
    }

    /// Whether sockets are attached: only then it has a process.
    public var isConnected: Bool { process != nil }

    /// The thread that attached it; nil when nothing is attached. sysfs, `pid`
    public var process: Int32? { attribute("pid").flatMap { Int32($0) } }

    /// The text that its sockets were attached under; nil when there is none. sysfs, `backend`
    public var backend: String? { attribute("backend").flatMap { $0.isEmpty ? nil : $0 } }

    /// Its size in bytes; 0 when nothing is attached. sysfs, `size`, which counts 512 bytes
    public var size: UInt64 { attribute("size").flatMap { UInt64($0) }.map { $0 * 512 } ?? 0 }

    private func attribute(_ name: String) -> String? {
        TextFile.read("/sys/block/\(self.name)/\(name)").map { text in
            String(text.prefix { $0 != "\n" })
        }
    }
}

internal import LinuxHost
internal import LinuxIO
public import SystemPackage

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

    /// Whether sockets are attached, or were and something still has the device open. sysfs, `pid`
    ///
    /// - Throws: what kept it from being known.
    public func isConnected() throws(Errno) -> Bool { try attribute("pid") != nil }

    /// The text that its sockets were attached under; nil when nothing is attached, or it was attached without
    /// one. It stays until the device is detached and nothing has it open. sysfs, `backend` (Linux 5.14)
    ///
    /// - Throws: what kept it from being known.
    public func backend() throws(Errno) -> String? {
        try attribute("backend").flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Whether it is attached under that text; false also when that is not known. For display, and for
    /// looking among several devices.
    public func isAttached(as backend: String) -> Bool { (try? self.backend()) == backend }

    /// Its size in bytes; 0 when nothing is attached. sysfs, `size`, which counts 512 bytes
    public var size: UInt64 {
        (try? attribute("size")).flatMap { UInt64($0) }.map { $0 * 512 } ?? 0
    }

    /// The processors of each of its queues, in the order of the queues; a queue may have none.
    /// sysfs, `mq/N/cpu_list`
    public var queueProcessors: [[Int]] {
        let queues = "\(Self.directory)/\(name)/mq"
        return Directory.names(in: queues).compactMap { Int($0) }.sorted().map { index in
            let list = TextFile.read("\(queues)/\(index)/cpu_list") ?? ""
            return list.split { !$0.isNumber }.compactMap { Int($0) }
        }
    }

    private func attribute(_ name: String) throws(Errno) -> String? {
        try Self.attribute(name, of: self.name, in: Self.directory)
    }

    /// Where sysfs has block devices.
    private static var directory: String { "/sys/block" }

    /// An attribute's first line. Nil when the device is there, or the others are, and the attribute is not; any
    /// other reason for having no text is thrown, since what cannot be read is not gone.
    static func attribute(
        _ name: String, of device: String, in directory: String
    ) throws(Errno) -> String? {
        do throws(Errno) {
            let text = try TextFile.contents(of: "\(directory)/\(device)/\(name)")
            return String(text.prefix { $0 != "\n" })
        } catch .noSuchFileOrDirectory {
            guard Directory.exists(directory) else { throw .noSuchFileOrDirectory }
            return nil
        } catch .operationNotSupportedByDevice {
            // The attribute has gone between open(2) and read(2).
            return nil
        } catch {
            throw error
        }
    }
}

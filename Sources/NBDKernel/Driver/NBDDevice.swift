internal import LinuxHost
internal import LinuxIO
package import SystemPackage

/// A device of the kernel's nbd driver: `/dev/nbd0` and so on.
package struct NBDDevice: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The number in the device's name.
    package let index: UInt32

    /// Largest ``index``: the kernel has 20 bits for it.
    package static var largestIndex: UInt32 { 1 << 20 - 1 }

    /// Creates a device from its number.
    package init(index: UInt32) { self.index = index }

    /// Creates a device from its path or name: `/dev/nbd0` or `nbd0`. Returns nil for anything else.
    package init?(path: String) {
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

    /// The name: `nbd0`.
    package var name: String { "nbd\(index)" }
    /// The path: `/dev/nbd0`.
    package var path: String { "/dev/\(name)" }
    /// The path.
    package var description: String { path }

    /// All devices that the driver has at this moment, sorted.
    package static var all: [NBDDevice] {
        Directory.names(in: "/sys/block").compactMap { name in
            name.hasPrefix("nbd") ? NBDDevice(path: name) : nil
        }.sorted()
    }

    /// Compares the numbers of two devices.
    package static func < (first: NBDDevice, second: NBDDevice) -> Bool {
        first.index < second.index
    }

    /// Returns whether sockets are attached to the device, or were attached and a process still has the device
    /// open. sysfs, `pid`
    ///
    /// - Throws: the error of reading the attribute.
    package func isConnected() throws(Errno) -> Bool { try attribute("pid") != nil }

    /// Returns the text that the sockets were attached under, or nil if none are attached or they were attached
    /// without a text. The text remains until the device is detached and no process has it open. sysfs,
    /// `backend` (since Linux 5.14)
    ///
    /// - Throws: the error of reading the attribute.
    package func backend() throws(Errno) -> String? {
        try attribute("backend").flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Returns whether the device is attached under that text, and false if that is unknown. For display, and
    /// for a search among several devices.
    package func isAttached(as backend: String) -> Bool { (try? self.backend()) == backend }

    /// Size in bytes; 0 if nothing is attached. sysfs, `size`, in units of 512 bytes
    package var size: UInt64 {
        (try? attribute("size")).flatMap { UInt64($0) }.map { $0 * 512 } ?? 0
    }

    /// The processors of each queue, in the order of the queues. A queue may have none.
    /// sysfs, `mq/N/cpu_list`
    package var queueProcessors: [[Int]] {
        let queues = "\(Self.directory)/\(name)/mq"
        return Directory.names(in: queues).compactMap { Int($0) }.sorted().map { index in
            let list = TextFile.read("\(queues)/\(index)/cpu_list") ?? ""
            return list.split { !$0.isNumber }.compactMap { Int($0) }
        }
    }

    private func attribute(_ name: String) throws(Errno) -> String? {
        try Self.attribute(name, of: self.name, in: Self.directory)
    }

    /// The directory of block devices in sysfs.
    private static var directory: String { "/sys/block" }

    /// Returns the first line of an attribute.
    ///
    /// Returns nil if sysfs has no such device or attribute. Throws every other error: an attribute that
    /// cannot be read is not missing.
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
            // The kernel removed the attribute between open(2) and read(2).
            return nil
        } catch {
            throw error
        }
    }
}

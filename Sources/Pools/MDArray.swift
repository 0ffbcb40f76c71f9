internal import LinuxHost
internal import LinuxIO
internal import NBDKernel
internal import SystemPackage

/// An array of the kernel's md driver, as sysfs shows it. Documentation/admin-guide/md.rst
package struct MDArray: Sendable, Equatable {
    /// A device of the array.
    struct Device: Sendable, Equatable {
        /// The name of the device: `nbd0`.
        let name: String
        /// Its slot in the array; nil for a spare or a faulty device.
        let slot: Int?
        /// The words of its state: `in_sync`, `faulty`, `spare`, `write_mostly` and so on.
        let states: Set<String>

        /// Whether it has all data of its slot.
        var isInSync: Bool { states.contains("in_sync") && !isFaulty && slot != nil }
        var isFaulty: Bool { states.contains("faulty") }
    }

    /// The name of the array's device: `md127`.
    package let name: String
    private let blocks: String

    /// - Parameter blocks: the directory of block devices in sysfs.
    init(name: String, blocks: String = "/sys/block") {
        self.name = name
        self.blocks = blocks
    }

    /// The path of the array's device: `/dev/md127`.
    package var path: String { "/dev/\(name)" }

    /// Size in bytes. sysfs, `size`, in units of 512 bytes
    var size: UInt64 { text("size").flatMap { UInt64($0) }.map { $0 * 512 } ?? 0 }

    var level: String? { text("md/level") }
    /// Whether the kernel does not write to the array, or not yet.
    var isReadOnly: Bool { text("md/array_state")?.hasPrefix("read") == true }
    /// The number of slots for members.
    var slotCount: Int { text("md/raid_disks").flatMap { Int($0) } ?? 0 }
    /// The kind of layout of level 10. md(4)
    var layout: Int? { text("md/layout").flatMap { Int($0) } }
    /// `idle`, or the running synchronization: `resync`, `recover`, `check` and so on. md.rst, `sync_action`
    var action: String { text("md/sync_action") ?? "idle" }

    /// The progress of ``action`` in bytes; nil when it is idle.
    var progress: (done: UInt64, total: UInt64)? {
        let words = (text("md/sync_completed") ?? "").split(separator: " ")
        guard words.count == 3, let done = UInt64(words[0]), let total = UInt64(words[2]) else {
            return nil
        }
        return (done * 512, total * 512)
    }

    /// The devices of the array, by name.
    var devices: [Device] {
        Directory.names(in: "\(blocks)/\(name)/md").filter { $0.hasPrefix("dev-") }.map { entry in
            let states = (text("md/\(entry)/state") ?? "").split(separator: ",").map(String.init)
            return Device(
                name: String(entry.dropFirst(4)),
                slot: text("md/\(entry)/slot").flatMap { Int($0) },
                states: Set(states))
        }
    }

    func device(_ device: NBDDevice) -> Device? { devices.first { $0.name == device.name } }

    /// Marks a member write-mostly, so the kernel reads it only when no other member can be read. Failure only makes
    /// reads slower. md.rst, `write_mostly`
    func markWriteMostly(_ device: NBDDevice) {
        let path = "\(blocks)/\(name)/md/dev-\(device.name)/state"
        guard let file = try? Descriptor(opening: path, .writeOnly) else { return }
        try? TextFile.write("writemostly", to: file)
    }

    private func text(_ attribute: String) -> String? {
        TextFile.read("\(blocks)/\(name)/\(attribute)").map { String($0.prefix { $0 != "\n" }) }
    }
}

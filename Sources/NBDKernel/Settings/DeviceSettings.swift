internal import LinuxIO
package import SystemPackage

/// A setting of the kernel's block layer for one device. sysfs, `queue/…`
package enum DeviceSetting: String, CaseIterable, Sendable {
    /// The name of the I/O scheduler, which decides in which order requests reach the driver.
    case scheduler
    /// The largest request in KiB. The block layer splits what is larger.
    case largestRequest = "max_sectors_kb"
    /// The distance that the kernel reads ahead of a sequential reader, and around a page fault in a mapped file, in
    /// KiB.
    case readAhead = "read_ahead_kb"
    /// The requests that are merged: 0 for all that touch each other, 1 for the last one and the next, 2 for none.
    case merging = "nomerges"
    /// The processor that completes a request: 1 for a processor that shares a cache with the one that sent it, 2 for
    /// that one itself, 0 for any.
    case completion = "rq_affinity"
}

/// Settings of the kernel's block layer for one device, each as its text in sysfs.
package struct DeviceSettings: Sendable, Equatable {
    private var values: [DeviceSetting: String]

    /// The settings that a device has. One that the kernel does not have is missing.
    package init(of device: NBDDevice) {
        self.init(directory: Self.directory(of: device))
    }

    /// - Parameter directory: the device's directory `queue` in sysfs.
    init(directory: String) {
        values = [:]
        for setting in DeviceSetting.allCases {
            values[setting] = TextFile.read("\(directory)/\(setting.rawValue)").map(Self.value(in:))
        }
    }

    private init(_ values: [DeviceSetting: String]) { self.values = values }

    /// The text of a setting; nil when it is missing.
    package subscript(setting: DeviceSetting) -> String? { values[setting] }

    /// The settings for a server of memory, which has neither a head to move nor a queue of its own.
    ///
    /// The instructions of each choice were counted; docs/internals/kernel-settings.md has the figures.
    ///
    /// - Parameter mostPayload: the largest payload that the server accepts in bytes; nil if it does not say.
    package static func ofMemory(mostPayload: UInt32?) -> DeviceSettings {
        // The protocol lets a server accept as little as a block.
        let most = (mostPayload ?? .max) / 1024
        return DeviceSettings([
            .scheduler: "none",
            .largestRequest: "\(min(largestRequestKiB, max(most, 4)))",
        ])
    }

    /// The largest request in KiB.
    private static var largestRequestKiB: UInt32 { 1024 }

    /// A setting that the kernel has refused.
    package struct Refusal: Error, Sendable, Equatable {
        /// The setting.
        package let setting: DeviceSetting
        /// The text that was written.
        package let value: String
        /// The kernel's reason.
        package let error: Errno
    }

    /// Gives these settings to a device, and leaves its other settings as they are. Returns those that the kernel has
    /// refused. A device works without any of them.
    package func apply(to device: NBDDevice) -> [Refusal] {
        apply(in: Self.directory(of: device))
    }

    /// Does not write a value that is there already: a change of the scheduler stops the device for a moment.
    func apply(in directory: String) -> [Refusal] {
        let current = DeviceSettings(directory: directory)
        var refusals: [Refusal] = []
        for setting in DeviceSetting.allCases {
            guard let value = values[setting], current[setting] != value else { continue }
            do throws(Errno) {
                let file = try Descriptor(
                    opening: "\(directory)/\(setting.rawValue)", .writeOnly)
                try TextFile.write(value, to: file)
            } catch {
                refusals.append(Refusal(setting: setting, value: value, error: error))
            }
        }
        return refusals
    }

    /// Returns the value in an attribute's text. That of the scheduler names all, with brackets around the one in use.
    private static func value(in text: String) -> String {
        let line = text.prefix { $0 != "\n" }
        guard let open = line.firstIndex(of: "["), let close = line[open...].firstIndex(of: "]")
        else { return String(line) }
        return String(line[line.index(after: open)..<close])
    }

    private static func directory(of device: NBDDevice) -> String {
        "/sys/block/\(device.name)/queue"
    }
}

/// An object with the kernel's names. A number is a number, and a missing setting is null.
extension DeviceSettings: Encodable {
    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: Key.self)
        for setting in DeviceSetting.allCases {
            let key = Key(stringValue: setting.rawValue)
            if let value = values[setting], let number = Int(value) {
                try object.encode(number, forKey: key)
            } else {
                try object.encode(values[setting], forKey: key)
            }
        }
    }
}

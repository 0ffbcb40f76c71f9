internal import NBDKernel

/// The queues of a device and its settings of the block layer, as `ramdisk-nbd list --verbose` shows them.
package struct ListedSettings: Sendable, Equatable {
    /// The number of queues.
    let queues: Int
    /// The settings of the block layer.
    let blockLayer: DeviceSettings

    /// The titles of ``cells``.
    package static let titles = [
        "QUEUES", "SCHEDULER", "LARGEST REQUEST", "READ-AHEAD", "NOMERGES", "RQ_AFFINITY",
    ]

    /// The texts of a row of a table.
    package var cells: [String] {
        [
            "\(queues)", blockLayer[.scheduler] ?? "-", size(.largestRequest), size(.readAhead),
            blockLayer[.merging] ?? "-", blockLayer[.completion] ?? "-",
        ]
    }

    /// Returns a setting that the kernel has in KiB as a size.
    private func size(_ setting: DeviceSetting) -> String {
        blockLayer[setting].map { "\($0)K" } ?? "-"
    }
}

extension ListedSettings {
    /// The settings of a device.
    init(_ device: NBDDevice) {
        self.init(
            queues: device.queueProcessors.count, blockLayer: DeviceSettings(of: device))
    }
}

extension ListedSettings: Encodable {
    private enum CodingKeys: CodingKey { case queues, blockLayer }
}

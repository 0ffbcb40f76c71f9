internal import FoundationEssentials
internal import Observability
internal import ProgramSupport

extension ListedDisk {
    /// Returns a table with a header row. It has the columns about saving if a disk has an image; below it is a line
    /// for each disk whose last save or restore has failed, and for each server that does not respond. It has the columns
    /// about the kernel's settings if `isVerbose` is set.
    ///
    /// - Parameter now: the time in seconds since 1970; nil for the present.
    package static func table(
        _ disks: [ListedDisk], isVerbose: Bool = false, now: Double? = nil
    ) -> String {
        guard !disks.isEmpty else { return "No disk is up, and no device is attached.\n" }
        let now = now ?? Date().timeIntervalSince1970
        let hasImages = disks.contains { $0.image != nil }
        let titles =
            ["DEVICE", "SIZE", "USED", "FILESYSTEM", "MOUNTED AT", "BACKING OR SERVER", "STATE"]
            + (hasImages ? ["SAVED", "CHANGED"] : []) + (isVerbose ? ListedSettings.titles : [])
        let rows = disks.map { disk in
            [
                disk.device ?? "-", disk.size.map(Units.roundedDownBytes) ?? "-",
                disk.used.map(Units.roundedDownBytes) ?? "-", disk.fileSystem ?? "-",
                disk.mountPoint ?? "-", disk.backing ?? disk.server ?? "-",
                disk.image?.restore?.text ?? disk.state.rawValue,
            ] + (hasImages ? saveCells(disk.image, now: now) : [])
                + (isVerbose ? disk.settings?.cells ?? ListedSettings.titles.map { _ in "-" } : [])
        }
        let failures = disks.compactMap(\.image).flatMap { image in
            [
                image.restore?.error.map { "not all restored from \(image.path): \($0)\n" },
                image.error.map { "not saved to \(image.path): \($0)\n" },
            ].compactMap { $0 }
        }
        let silences = disks.compactMap { $0.silence.map { "\($0)\n" } }
        return TextTable(titles.map { .left($0) }, rows: rows).text
            + (failures + silences).joined()
    }

    /// Returns the cells of SAVED and CHANGED.
    private static func saveCells(_ image: ListedImage?, now: Double) -> [String] {
        guard let image else { return ["-", "-"] }
        let age = image.savedUnixSeconds.map { "\(Units.age(seconds: max(0, now - $0))) ago" }
        let time = image.seconds.map { " in \(Units.duration(nanoseconds: $0 * 1e9))" } ?? ""
        // Without a server that says what has changed, it is not known when the image was saved either.
        let saved = age.map { $0 + time } ?? (image.dirtyBytes == nil ? "unknown" : "never")
        return [
            saved + (image.error == nil ? "" : ", then failed"),
            image.dirtyBytes.map(Units.roundedDownBytes) ?? "-",
        ]
    }
}

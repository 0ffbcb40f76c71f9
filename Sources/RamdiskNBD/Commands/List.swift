internal import FoundationEssentials
internal import KernelDisks
internal import Observability
internal import ProgramSupport
internal import ArgumentParser

/// `ramdisk-nbd list`.
struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List disks that are up or served, and attached /dev/nbdN devices.",
        discussion: """
            A disk of `up` is "starting", "up", "detaching" while a process that has the device open \
            still holds it, or "orphaned" when its supervisor is dead. A device of `attach --stay` is \
            "watched", any other device is "attached". A disk of `serve` is "served"; it is listed if \
            its server has a control socket, and a line below the table says so if that server does not \
            respond. USED is the space in use in a mounted file system, and the memory in use for a \
            served disk.

            Disks that have an image (--image) have two more columns. SAVED is how long ago the last \
            save was and how long it took; CHANGED is what has changed since. If the last save has \
            failed, a line below says why. A disk that is served while it is restored is "restoring \
            43 %" in place of its state.

            --verbose adds, for each device, its number of queues and what the kernel's block layer \
            does with its requests: the I/O scheduler, the largest request, the read-ahead, and the \
            values of nomerges and rq_affinity in /sys/block/nbdN/queue.

            EXAMPLES
              A table for people, and JSON for programs:
                ramdisk-nbd list
                ramdisk-nbd list --json
            """)

    @Flag(name: .long, help: "Print an array of JSON objects, with sizes in bytes.")
    var json = false

    @Flag(name: .shortAndLong, help: "Show the settings of each device in the kernel, too.")
    var verbose = false

    func run() throws {
        let disks = ListedDisk.all()
        standardOutput(json ? try jsonLine(disks) : Self.table(disks, isVerbose: verbose))
    }

    /// Returns a table with a header row. It has the columns about saving if a disk has an image; below it is a line
    /// for each disk whose last save or restore has failed, and for each server that does not respond. It has the columns
    /// about the kernel's settings if `isVerbose` is set.
    ///
    /// - Parameter now: the time in seconds since 1970.
    static func table(
        _ disks: [ListedDisk], isVerbose: Bool = false,
        now: Double = Date().timeIntervalSince1970
    ) -> String {
        guard !disks.isEmpty else { return "No disk is up, and no device is attached.\n" }
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

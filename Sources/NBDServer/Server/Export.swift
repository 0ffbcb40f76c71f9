internal import NBDProtocol

/// A disk that clients can ask for by name.
public struct Export: Sendable {
    /// Name to ask for: at most 4096 bytes of UTF-8 without NUL. The empty name is the default.
    public let name: String
    /// Text for people, shown by `nbdinfo` and the like; the same bounds.
    public let description: String
    /// The description of an export that is given none.
    public static var standardDescription: String { "ramdisk" }
    /// What is served.
    public let disk: RamDisk
    /// Whether clients may only read.
    public let isReadOnly: Bool

    /// An export of a disk.
    public init(
        name: String = "", description: String = Self.standardDescription, disk: RamDisk,
        isReadOnly: Bool = false
    ) {
        self.name = name
        self.description = description
        self.disk = disk
        self.isReadOnly = isReadOnly
    }

    /// What clients are told of it.
    var info: ExportInfo {
        var flags: TransmissionFlags = [
            .hasFlags, .flush, .forceUnitAccess, .cache, .multipleConnections,
        ]
        if isReadOnly {
            flags.insert(.readOnly)
        } else {
            flags.formUnion([.trim, .writeZeroes, .fastZero])
        }
        return ExportInfo(name: name, description: description, size: disk.size, flags: flags)
    }

    /// What clients' requests have to meet, with what their handshake has agreed on.
    func rules(_ agreement: ServerNegotiation.NegotiatedSession) -> RequestRules {
        RequestRules(
            exportSize: disk.size, isReadOnly: isReadOnly, format: agreement.format,
            hasContext: agreement.hasContext)
    }
}

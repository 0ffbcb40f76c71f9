internal import NBDProtocol

/// A disk under a name that clients ask for.
public struct Export: Sendable {
    /// The name to ask for: at most 4096 bytes of UTF-8 without NUL. The empty name is the default.
    public let name: String
    /// Text for people, which `nbdinfo` and other clients show; the same bounds.
    public let description: String
    /// The description of an export that is given none.
    public static var standardDescription: String { "ramdisk" }
    /// Whether clients may only read.
    public let isReadOnly: Bool
    /// The size in bytes.
    public let size: UInt64

    /// The storage of the export: a RAM disk is served straight from its memory, any other store through its methods.
    enum Storage {
        case ram(RamDisk)
        case custom(any BlockStore)
        /// A clone for each connection, freed when the client disconnects.
        case clones(DiskTemplate)
    }
    let storage: Storage
    /// The metadata contexts that clients can select, by their indices.
    let contexts: [MetadataContext]

    /// An export of a RAM disk.
    public init(
        name: String = "", description: String = Self.standardDescription, disk: RamDisk,
        isReadOnly: Bool = false
    ) {
        self.init(name, description, .ram(disk), size: disk.size, isReadOnly)
    }

    /// An export of a store of your own. A ``RamDisk`` is served as fast as by the other initializer.
    ///
    /// A size above ``RamDisk/largestSize`` makes ``Server/init(exports:listeningOn:options:onEvent:)``
    /// throw.
    public init(
        name: String = "", description: String = "", store: any BlockStore,
        isReadOnly: Bool = false
    ) {
        let storage = (store as? RamDisk).map { Storage.ram($0) } ?? .custom(store)
        self.init(name, description, storage, size: store.size, isReadOnly)
    }

    /// An export that serves each connection a clone of its own, which begins with the contents of a template and
    /// is freed when the client disconnects.
    public init(
        name: String = "", description: String = Self.standardDescription,
        clonesOf template: DiskTemplate
    ) {
        self.init(name, description, .clones(template), size: template.size, false)
    }

    private init(
        _ name: String, _ description: String, _ storage: Storage, size: UInt64, _ isReadOnly: Bool
    ) {
        self.name = name
        self.description = description
        self.storage = storage
        contexts =
            switch storage {
            case .ram, .clones: DiskPages.contexts
            case .custom(let store): [.allocation] + store.contexts
            }
        self.size = size
        self.isReadOnly = isReadOnly
    }

    /// The RAM disk that is served; nil for another store.
    public var ramDisk: RamDisk? { if case .ram(let disk) = storage { disk } else { nil } }

    /// The template of which each connection is served a clone; nil for another export.
    public var template: DiskTemplate? {
        if case .clones(let template) = storage { template } else { nil }
    }

    /// The RAM disk that is served. For programs that serve no other stores; traps otherwise.
    package var disk: RamDisk {
        guard let ramDisk else { preconditionFailure("the export \"\(name)\" is no RAM disk") }
        return ramDisk
    }

    /// The properties that the handshake sends to clients.
    var info: ExportInfo {
        var flags: TransmissionFlags = [.hasFlags, .flush, .forceUnitAccess]
        // Two connections to clones are two disks.
        if template == nil { flags.insert(.multipleConnections) }
        if case .custom = storage {} else { flags.insert(.cache) }
        if isReadOnly {
            flags.insert(.readOnly)
        } else {
            flags.formUnion([.trim, .writeZeroes, .fastZero])
        }
        return ExportInfo(
            name: name, description: description, size: size, flags: flags, contexts: contexts)
    }

    /// The rules for clients' requests, with what their handshake has agreed on.
    func rules(_ agreement: ServerNegotiation.NegotiatedSession) -> RequestRules {
        RequestRules(
            exportSize: size, isReadOnly: isReadOnly, format: agreement.format,
            contexts: agreement.contexts)
    }

    /// Throws unless there is at least one export and clients can select every one of them.
    static func check(_ exports: [Export]) throws(ServerError) {
        guard !exports.isEmpty else {
            throw ServerError(.noExports, "a server needs at least one export")
        }
        var names: Set<[UInt8]> = []
        for export in exports {
            try export.check()
            guard names.insert(Array(export.name.utf8)).inserted else {
                throw ServerError(
                    .duplicateExport,
                    "two exports have the name \"\(export.name)\"; give each its own")
            }
        }
    }

    private func check() throws(ServerError) {
        for text in [name, description]
        where text.utf8.count > Limits.stringLength || text.utf8.contains(0) {
            throw ServerError(
                .invalidExport,
                "the name or description \"\(text.prefix(40))\" of an export is longer than "
                    + "\(Limits.stringLength) bytes of UTF-8, or contains NUL")
        }
        let names = contexts.map { Array($0.name.utf8) }
        guard contexts.count <= Limits.contextCount, Set(names).count == names.count,
            contexts.allSatisfy(\.isValid)
        else {
            throw ServerError(
                .invalidExport,
                "the export \"\(name)\" offers the contexts \(contexts.map(\.name)): give it "
                    + "\(Limits.contextCount) at most, each with a namespace and a name of its own")
        }
        guard size <= RamDisk.largestSize else {
            throw ServerError(
                .invalidExport,
                "the export \"\(name)\" has \(size) bytes, but NBD carries \(RamDisk.largestSize) at most"
            )
        }
    }
}

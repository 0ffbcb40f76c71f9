/// What BLOCK_STATUS can report of an export, by name (NBD specification, Metadata querying).
public struct MetadataContext: Sendable, Hashable {
    /// The name: a namespace, a colon and a leaf-name.
    public let name: String

    /// A context with a name. ``isValid`` tells whether a server can offer it.
    public init(name: String) { self.name = name }

    /// The context that says which parts of an export are holes, and which read as zeroes.
    public static var allocation: Self { Self(name: "base:allocation") }

    /// The context that says in which layer the bytes are: 0 in none, 1 in the export's own, 2 and more
    /// in those below (QEMU, docs/interop/nbd.txt).
    public static var allocationDepth: Self { Self(name: "qemu:allocation-depth") }

    /// A context whose bit 0 says that bytes may have changed (QEMU, docs/interop/nbd.txt).
    public static func dirtyBitmap(_ bitmap: String) -> Self { Self(name: bitmaps + bitmap) }

    /// What the names of all dirty bitmaps begin with; as a query, it lists them.
    private static var bitmaps: String { "qemu:dirty-bitmap:" }

    /// Returns the identifier in replies of the context at an index of an export's list.
    @inlinable
    public static func identifier(at index: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: index &+ 1)
    }

    /// Whether the name is a string of the protocol, and has both a namespace and a leaf-name.
    public var isValid: Bool {
        let bytes = name.utf8
        guard let colon = bytes.firstIndex(of: Self.colon) else { return false }
        return colon != bytes.startIndex && bytes.index(after: colon) != bytes.endIndex
            && bytes.count <= Limits.stringLength
            && !bytes[..<colon].contains { $0 <= UInt8(ascii: " ") || $0 == 0x7f }
            && !bytes.contains(0)
            && !isListedByWildcard(name)
    }

    /// Whether a query of SET_META_CONTEXT selects it: by its exact name, byte for byte.
    func isSelected(by query: String) -> Bool { name.utf8.elementsEqual(query.utf8) }

    /// Whether a query of LIST_META_CONTEXT lists it: its name, or a wildcard that its name begins with.
    func isListed(by query: String) -> Bool { isSelected(by: query) || isListedByWildcard(query) }

    /// A namespace with its colon is a wildcard, and so is the common part of the names of dirty bitmaps.
    private func isListedByWildcard(_ query: String) -> Bool {
        let bytes = query.utf8
        guard let colon = bytes.firstIndex(of: Self.colon), name.utf8.starts(with: bytes) else {
            return false
        }
        return bytes.index(after: colon) == bytes.endIndex || bytes.elementsEqual(Self.bitmaps.utf8)
    }

    private static var colon: UInt8 { UInt8(ascii: ":") }
}

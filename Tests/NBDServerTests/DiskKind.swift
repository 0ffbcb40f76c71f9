@testable import NBDServer

/// A kind of RAM disk.
enum DiskKind: CaseIterable {
    case plain
    case sparse
    case clone

    /// Makes a disk that contains these bytes.
    func makeDisk(with bytes: [UInt8]) throws -> RamDisk {
        let disk = try RamDisk(size: UInt64(bytes.count), isSparse: self != .plain)
        for start in stride(from: 0, to: bytes.count, by: 4096) {
            let page = bytes[start..<min(start + 4096, bytes.count)]
            if page.contains(where: { $0 != 0 }) { try disk.write(Array(page), at: UInt64(start)) }
        }
        return self == .clone
            ? try RamDisk(cloning: DiskTemplate.copying(disk.makeSnapshot())) : disk
    }
}

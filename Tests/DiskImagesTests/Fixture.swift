import Glibc
import LinuxHost
import LinuxIO
import NBDServer
import SystemPackage
import Testing

@testable import DiskImages

/// A directory with an image, which is removed with this value.
struct Fixture: ~Copyable {
    let directory: String
    var path: String { directory + "/disk.img" }

    /// A new directory; in memory, where a sync takes no time, unless another one is named.
    init(in parent: String = "/dev/shm") throws {
        directory = "\(parent)/ramdisk-nbd-test-\(UInt64.random(in: .min ... .max))"
        _ = try Directory.make(directory)
    }

    deinit {
        for name in Directory.names(in: directory) {
            Directory.removeFile("\(directory)/\(name)")
            Directory.removeEmpty("\(directory)/\(name)")
        }
        Directory.removeEmpty(directory)
    }

    /// The names of the files that belong to the image, without the lock.
    var names: [String] { Directory.names(in: directory).filter { $0 != "disk.img.lock" } }

    /// The names that a save leaves.
    static var cleanNames: [String] { ["disk.img", "disk.img.state"] }

    /// Returns what a new object restores from the image; nil when there is nothing.
    func restored(size: UInt64) throws -> Contents? {
        let image = try DiskImage(path: path)
        let disk = try RamDisk(size: size)
        guard try image.restore(into: disk) != nil else { return nil }
        return try disk.bytes
    }
}

extension RamDisk {
    /// All bytes.
    var bytes: Contents {
        get throws { Contents(try read(at: 0, count: Int(size))) }
    }

    /// Writes pages that are full of a byte, and returns where they are.
    func fill(_ pages: [Int], with byte: UInt8) throws -> [Range<UInt64>] {
        for page in pages {
            try write([UInt8](repeating: byte, count: 4096), at: UInt64(page) * 4096)
        }
        return pages.map { UInt64($0) * 4096..<UInt64($0 + 1) * 4096 }
    }

    /// Makes a range zero, and returns it.
    func clear(_ range: Range<UInt64>) throws -> Range<UInt64> {
        try zero(range, options: [])
        return range
    }
}

/// The bytes of a disk or a file. Arrays are compared byte by byte, which is slow in a debug build.
struct Contents: Equatable, CustomTestStringConvertible {
    var bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    static func == (first: Contents, second: Contents) -> Bool {
        guard first.bytes.count == second.bytes.count else { return false }
        return unsafe memcmp(first.bytes, second.bytes, first.bytes.count) == 0
    }

    var testDescription: String { "\(bytes.count) bytes" }
}

/// The bytes of a file.
func contents(of path: String) throws -> Contents {
    let file = try DurableFile(reading: path)
    let count = Int(try file.status.size)
    let memory = try MemoryMapping(privateBytes: max(1, count))
    _ = try file.read(at: 0, into: memory.region)
    return Contents(memory.region.slice(at: 0, count: count).bytes)
}

/// Replaces a file, or creates it.
func replace(_ path: String, with bytes: [UInt8]) throws {
    Directory.removeFile(path)
    let file = try DurableFile(creating: path)
    guard !bytes.isEmpty else { return }
    let memory = try MemoryMapping(privateBytes: bytes.count)
    memory.region.copy(from: bytes)
    try file.write(memory.region.slice(at: 0, count: bytes.count), at: 0)
}

/// Bytes of a file that are no hole.
func dataBytes(of path: String) throws -> Int {
    let file = try DurableFile(reading: path)
    var count = 0
    var offset: UInt64 = 0
    while let run = try file.nextData(from: offset) {
        count += run.count
        offset = run.upperBound
    }
    return count
}

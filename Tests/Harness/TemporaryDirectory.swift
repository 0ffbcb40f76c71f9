internal import Foundation
internal import Glibc

/// A new directory in /tmp or another parent. It is removed with its content when the last reference is released.
public final class TemporaryDirectory: Sendable {
    /// The path of the directory, without a slash at the end.
    public let path: String

    /// Creates the directory. Other users may read it, so that a test can run a program as another user. mkdtemp(3)
    public init(in parent: String = "/tmp") throws {
        var template = Array("\(parent)/ramdisk-nbd-XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil, unsafe chmod(template, 0o755) == 0 else {
            throw TestError("cannot make a directory in \(parent): errno \(errno)")
        }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Returns the path of a file in the directory.
    public func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Creates a file of random bytes in the directory, and returns its path.
    public func randomFile(_ name: String = "random", bytes: Int) throws -> String {
        let source = try FileHandle(forReadingFrom: URL(filePath: "/dev/urandom"))
        guard let data = try source.read(upToCount: bytes), data.count == bytes else {
            throw TestError("/dev/urandom gave too little")
        }
        try data.write(to: URL(filePath: file(name)))
        return file(name)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }
}

/// Returns whether two files have the same bytes.
public func sameBytes(_ one: String, _ other: String) throws -> Bool {
    try Data(contentsOf: URL(filePath: one)) == Data(contentsOf: URL(filePath: other))
}

/// Returns the text of a file, or an empty text if the file does not exist.
public func text(of path: String) -> String {
    String(decoding: (try? Data(contentsOf: URL(filePath: path))) ?? Data(), as: UTF8.self)
}

/// Returns whether a file exists at a path.
public func exists(_ path: String) -> Bool {
    unsafe access(path, F_OK) == 0
}

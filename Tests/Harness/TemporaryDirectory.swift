internal import Foundation
internal import Glibc

/// A fresh directory under /tmp or where else it is wanted, removed with all that is in it when the last copy goes.
public final class TemporaryDirectory: Sendable {
    /// Where it is; no slash at the end.
    public let path: String

    /// Makes it. Others may look into it, so that a program can be run as somebody else. mkdtemp(3)
    public init(in parent: String = "/tmp") throws {
        var template = Array("\(parent)/ramdisk-nbd-XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil, unsafe chmod(template, 0o755) == 0 else {
            throw TestError("cannot make a directory in \(parent): errno \(errno)")
        }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// The path of a file in it.
    public func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Makes a file in it of so many random bytes, and answers its path.
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

/// Whether two files have the same bytes.
public func sameBytes(_ one: String, _ other: String) throws -> Bool {
    try Data(contentsOf: URL(filePath: one)) == Data(contentsOf: URL(filePath: other))
}

/// The text of a file; empty when there is none.
public func text(of path: String) -> String {
    String(decoding: (try? Data(contentsOf: URL(filePath: path))) ?? Data(), as: UTF8.self)
}

/// Whether something is at a path, a dangling link too.
public func exists(_ path: String) -> Bool {
    unsafe access(path, F_OK) == 0
}

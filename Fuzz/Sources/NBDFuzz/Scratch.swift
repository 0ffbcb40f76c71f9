import Foundation

/// The directory for the files of a target: in memory, and emptied by scripts/fuzz.
enum Scratch {
    /// The path, from the environment variable `NBD_FUZZ_SCRATCH`.
    static let directory: String = {
        guard let path = ProcessInfo.processInfo.environment["NBD_FUZZ_SCRATCH"], !path.isEmpty
        else { fatalError("NBD_FUZZ_SCRATCH must name a directory for temporary files") }
        return path
    }()

    static func path(_ name: String) -> String { "\(directory)/\(name)" }

    /// Replaces a file.
    static func write(_ bytes: [UInt8], to name: String) {
        do {
            try Data(bytes).write(to: URL(fileURLWithPath: path(name)))
        } catch {
            fatalError("cannot write \(path(name)): \(error)")
        }
    }

    /// Returns the bytes of a file; nil when there is none.
    static func read(_ name: String) -> [UInt8]? {
        FileManager.default.contents(atPath: path(name)).map { Array($0) }
    }

    /// Cuts a file, or appends a hole to it, so that it has this length in bytes.
    static func setLength(_ length: UInt64, of name: String) {
        guard let file = FileHandle(forWritingAtPath: path(name)),
            (try? file.truncate(atOffset: length)) != nil
        else { fatalError("cannot change the length of \(path(name)) to \(length)") }
        try? file.close()
    }

    /// Removes the files whose names begin so.
    static func remove(prefix: String) {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        where name.hasPrefix(prefix) {
            try? FileManager.default.removeItem(atPath: path(name))
        }
    }
}

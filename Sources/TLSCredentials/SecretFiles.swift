internal import ProgramSupport
internal import Glibc
internal import SystemPackage

/// New files in a directory. If one cannot be written, those written before are removed.
struct SecretFiles: ~Copyable {
    private let directory: String
    private var made: [String] = []

    init(directory: String) {
        self.directory = directory
    }

    /// Throws if one of these files exists.
    func checkFree(_ names: [String]) throws(Failure) {
        for name in names where unsafe access("\(directory)/\(name)", F_OK) == 0 {
            throw .cannotCreate(
                "\(directory)/\(name) exists already, and is not overwritten: "
                    + "remove it, or choose another directory")
        }
    }

    /// Creates the directory if it does not exist, accessible only to its owner.
    func make() throws(Failure) {
        guard unsafe mkdir(directory, 0o700) < 0, errno != EEXIST else { return }
        throw .cannotCreate("cannot create the directory \(directory): \(Errno(rawValue: errno))")
    }

    /// Writes a new file.
    mutating func write(_ bytes: [UInt8], to name: String, isSecret: Bool) throws(Failure) {
        let path = "\(directory)/\(name)"
        do {
            let file = try FileDescriptor.open(
                FilePath(path), .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: FilePermissions(rawValue: isSecret ? 0o600 : 0o644))
            made.append(path)
            try file.closeAfter { _ = try file.writeAll(bytes) }
        } catch {
            for path in made { unsafe unlink(path) }
            throw .cannotCreate("cannot write \(path): \(error)")
        }
    }

    /// The absolute path of the directory. realpath(3)
    var absolutePath: String {
        guard let path = unsafe realpath(directory, nil) else { return directory }
        defer { unsafe free(path) }
        return unsafe String(cString: path)
    }
}

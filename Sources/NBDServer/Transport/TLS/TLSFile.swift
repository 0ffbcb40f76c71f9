internal import LinuxIO
internal import SystemPackage

/// What can be said about a file without understanding it.
enum TLSFile {
    /// Throws a sentence that names the file if it cannot be read.
    static func checkReadable(_ path: String) throws(TLSFailure) {
        do throws(Errno) {
            _ = try InputFile(path: path)
        } catch {
            guard error == .noSuchFileOrDirectory else {
                throw TLSFailure("cannot read \(path): \(error)")
            }
            throw TLSFailure(
                "there is no file \(path); \"ramdisk-nbd tls init DIR\" makes what is needed")
        }
    }

    /// Whether there is such a file, readable or not.
    static func exists(_ path: String) -> Bool {
        do throws(Errno) {
            _ = try InputFile(path: path)
            return true
        } catch {
            return error != .noSuchFileOrDirectory
        }
    }

    /// A sentence if others than its owner can read a file that is to be secret.
    static func warnings(aboutSecret path: String) -> [String] {
        guard let mode = try? InputFile(path: path).permissions, mode & 0o077 != 0 else {
            return []
        }
        return ["others can read or change the secret in \(path): chmod 600 \(path)"]
    }
}

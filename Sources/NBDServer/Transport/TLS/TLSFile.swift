internal import LinuxIO
internal import SystemPackage

/// Checks of a credential file that do not parse it.
enum TLSFile {
    /// Throws an error that names the file if it cannot be read.
    static func checkReadable(_ path: String) throws(TLSFailure) {
        do throws(Errno) {
            _ = try InputFile(path: path)
        } catch {
            guard error == .noSuchFileOrDirectory else {
                throw TLSFailure("cannot read \(path): \(error)")
            }
            throw TLSFailure(missingFile: path)
        }
    }

    /// Returns whether the file exists, readable or not.
    static func exists(_ path: String) -> Bool {
        do throws(Errno) {
            _ = try InputFile(path: path)
            return true
        } catch {
            return error != .noSuchFileOrDirectory
        }
    }

    /// Returns a warning if other users than the owner can read or change a secret file.
    static func warnings(aboutSecret path: String) -> [String] {
        guard let mode = try? InputFile(path: path).permissions, mode & 0o077 != 0 else {
            return []
        }
        return ["other users can read or change the secret in \(path): run chmod 600 \(path)"]
    }
}

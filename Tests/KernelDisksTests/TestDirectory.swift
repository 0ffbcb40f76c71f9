import LinuxHost
import ProgramSupport

/// Creates an empty directory in /tmp, and returns its absolute path.
func temporaryDirectory() throws -> String {
    let path = "/tmp/ramdisk-nbd-test-\(UInt64.random(in: .min ... .max))"
    _ = try Directory.make(path)
    return absolutePath(path)
}

/// Removes a directory and the files in it.
func removeDirectory(_ path: String) {
    for name in Directory.names(in: path) { Directory.removeFile("\(path)/\(name)") }
    Directory.removeEmpty(path)
}

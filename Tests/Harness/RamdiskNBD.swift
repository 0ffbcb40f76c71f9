internal import Foundation

extension Program {
    /// `ramdisk-nbd` as it was built with the tests, or what RAMDISK_NBD names.
    public static var ramdiskNBD: Program {
        Program(ramdiskNBDPath, package: "none: build it with swift build")
    }

    /// Whether it is a release build.
    public static var isReleaseBuild: Bool { ramdiskNBDPath.contains("/release/") }

    private static var ramdiskNBDPath: String {
        if let path = ProcessInfo.processInfo.environment["RAMDISK_NBD"] { return path }
        let tests = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        return tests.deletingLastPathComponent().appending(path: "ramdisk-nbd").path
    }
}

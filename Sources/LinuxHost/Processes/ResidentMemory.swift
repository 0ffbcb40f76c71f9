internal import CLinux
internal import LinuxIO

/// The memory of this process.
package enum ResidentMemory {
    /// Bytes that are in RAM now, including shared ones; 0 when the kernel does not report them. proc(5),
    /// `VmRSS`
    package static var bytes: UInt64 {
        ProcFields(path: "/proc/self/status").bytes(ofKiB: "VmRSS").map { UInt64($0) } ?? 0
    }

    /// Releases pages of the program's file that only start-up needed, such as the dynamic linker's tables:
    /// some MiB that are never written. A page that is needed again comes from the page cache. madvise(2),
    /// `MADV_DONTNEED`
    package static func releaseStartupPages() { clinux_release_startup_pages() }
}

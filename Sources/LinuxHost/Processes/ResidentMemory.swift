internal import LinuxIO
internal import CLinux

/// Memory of this process.
package enum ResidentMemory {
    /// Bytes that are in RAM now, shared ones too; 0 when the kernel does not tell. proc(5), `VmRSS`
    package static var bytes: UInt64 {
        for line in (TextFile.read("/proc/self/status") ?? "").split(separator: "\n")
        where line.hasPrefix("VmRSS:") {
            let number = line.split { $0 == " " || $0 == "\t" }.dropFirst().first
            return number.flatMap { UInt64($0) }.map { $0 << 10 } ?? 0
        }
        return 0
    }

    /// Lets go of what only the start of the program needed: pages of its file that nobody writes to, such
    /// as the dynamic linker's tables, some MiB. What is needed again comes out of the page cache.
    /// madvise(2), `MADV_DONTNEED`
    package static func releaseStartupPages() { clinux_forget_start() }
}

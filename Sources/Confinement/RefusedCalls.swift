internal import CLinux
internal import Glibc
internal import LinuxIO
internal import Logging
internal import Synchronization
internal import SystemPackage

/// Logs each system call that the filter refuses, once.
enum RefusedCalls {
    /// Starts the thread that logs them. Call this once, before the filter is in force.
    static func report(to logger: Logger) throws(Errno) {
        var reading: CInt = -1
        var writing: CInt = -1
        try checked(unsafe clinux_pipe(&reading, &writing))
        // Both ends and the table stay until the process ends: a refused call can come at any time.
        let table = SystemCallFilter.refusedTable()
        let known = UnsafeMutablePointer<UInt8>.allocate(capacity: table.count)
        unsafe known.initialize(from: table, count: table.count)
        try checked(unsafe clinux_report_refusals(writing, known, table.count))
        let pipe = reading
        try Thread(name: "refused-calls") { log(from: pipe, to: logger) }.detach()
    }

    private static func log(from pipe: CInt, to logger: Logger) {
        var seen: Set<UInt32> = []
        var number: UInt32 = 0
        while true {
            let count = unsafe Glibc.read(pipe, &number, MemoryLayout<UInt32>.size)
            guard count == MemoryLayout<UInt32>.size else {
                if count < 0, errno == EINTR { continue }
                return
            }
            guard seen.insert(number).inserted else { continue }
            logger.warning(
                "the sandbox has refused a system call, which is a mistake of this program or of a library: please report it; --sandbox off allows it",
                metadata: ["call": "\(SystemCallFilter.name(of: number))"])
        }
    }
}

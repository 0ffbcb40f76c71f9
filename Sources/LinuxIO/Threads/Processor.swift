public import CLinux
internal import Glibc
public import SystemPackage

/// The processors of the machine, and how threads use them.
public enum Processor {
    /// The number of processors that are online. sysconf(3), `_SC_NPROCESSORS_ONLN`
    public static var onlineCount: Int { sysconf(CInt(_SC_NPROCESSORS_ONLN)) }

    /// The number of processors that ``bind(to:)`` can distinguish. `CPU_SETSIZE`
    public static var maximumCount: Int { 1024 }

    /// Tells the processor that the calling thread busy-waits, which is one short pause.
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public static func relax() { clinux_relax() }

    /// Restricts the calling thread, and the threads that it starts, to these processors.
    /// sched_setaffinity(2)
    ///
    /// - Throws: `invalidArgument` when the list is empty or names a processor that does not exist.
    public static func bind(to processors: [Int]) throws(Errno) {
        guard let last = processors.max(), processors.allSatisfy({ $0 >= 0 }),
            last < maximumCount
        else { throw .invalidArgument }
        var mask = [UInt8](repeating: 0, count: last + 1)
        for processor in processors { mask[processor] = 1 }
        try checked(unsafe clinux_bind_processors(mask, mask.count))
    }

    /// Nanoseconds of processor time that the calling thread has used. clock_gettime(2),
    /// `CLOCK_THREAD_CPUTIME_ID`
    public static var threadNanoseconds: UInt64 { clinux_thread_nanoseconds() }
}

// Which processors a thread may use, and how much of them it has used.

internal import CLinux
public import SystemPackage

extension Processor {
    /// Keeps the calling thread, and the threads it will make, to these processors.
    /// sched_setaffinity(2)
    public static func bind(to processors: [Int]) throws(Errno) {
        guard let last = processors.max(), processors.allSatisfy({ $0 >= 0 }) else {
            throw .invalidArgument
        }
        guard last < maximumCount else { throw .invalidArgument }
        var mask = [UInt8](repeating: 0, count: last + 1)
        for processor in processors { mask[processor] = 1 }
        try checked(unsafe clinux_bind_processors(mask, mask.count))
    }

    /// Processors that ``bind(to:)`` can tell apart. `CPU_SETSIZE`
    public static var maximumCount: Int { 1024 }

    /// Nanoseconds of processor time that the calling thread has used. clock_gettime(2),
    /// `CLOCK_THREAD_CPUTIME_ID`
    public static var threadNanoseconds: UInt64 { clinux_thread_nanoseconds() }
}

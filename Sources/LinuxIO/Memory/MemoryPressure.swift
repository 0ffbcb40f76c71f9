internal import CLinux
internal import Glibc
internal import Synchronization
public import SystemPackage

/// Precautions of a process on which the kernel's own reclaim of memory depends: a server that holds the
/// machine's swap must make progress when no memory is free.
public enum MemoryPressure {
    /// Locks the process into memory: all private mappings at once, which are its code, stacks and buffers,
    /// and shared or later mappings as their pages are first touched. mlockall(2), mlock(2)
    ///
    /// - Throws: `notPermitted` when a limit for locked memory applies: later mappings would fail.
    public static func lockProcess() throws(Errno) {
        try checked(clinux_lock_process())
        let mappings = (TextFile.read("/proc/self/maps") ?? "").split(separator: "\n")
        for mapping in mappings.compactMap({ OwnMapping($0) }) {
            let base = unsafe UnsafeRawPointer(bitPattern: mapping.start)
            guard let base = unsafe base, unsafe mlock(base, mapping.count) != 0 else { continue }
            // ENOMEM: another thread has unmapped it meanwhile.
            if errno != ENOMEM { throw Errno(rawValue: errno) }
        }
    }

    /// Locks later mappings as a whole, when they are mapped: the stacks and buffers of threads that start
    /// later. mlockall(2), `MCL_FUTURE`
    public static func lockFutureMappings() throws(Errno) {
        try checked(clinux_lock_future_mappings())
    }

    /// Marks the calling thread, and those it starts, as one that writes to a disk: when the thread needs
    /// memory, the kernel does not write back pages to find some, because that write could need this very
    /// thread. Needs `CAP_SYS_RESOURCE`. prctl(2), `PR_SET_IO_FLUSHER` (Linux 5.6)
    public static func setIOFlusher() throws(Errno) {
        try checked(clinux_set_io_flusher())
    }

    /// Bytes that the kernel reserves for allocations that cannot wait; 0 when it does not report them.
    /// `vm.min_free_kbytes`
    public static var reserveBytes: Int {
        (integer(in: "/proc/sys/vm/min_free_kbytes") ?? 0) << 10
    }

    /// Puts the calling thread in the real-time class, whose threads may use a part of the kernel's
    /// reserve when almost no memory is free. Needs `CAP_SYS_NICE`. sched_setscheduler(2), `SCHED_RR`
    public static func enterRealTimeClass() throws(Errno) { try checked(clinux_set_real_time(1)) }

    /// Puts the calling thread back in the normal class. sched_setscheduler(2), `SCHED_OTHER`
    public static func leaveRealTimeClass() throws(Errno) { try checked(clinux_set_real_time(0)) }

    /// Makes the OOM killer choose any other process. Needs `CAP_SYS_RESOURCE`. proc(5), `oom_score_adj`
    public static func disableOOMKill() throws(Errno) {
        let path = "/proc/self/oom_score_adj"
        let former = integer(in: path) ?? 0
        try write("-1000", to: path)
        formerScore.store(former, ordering: .relaxed)
    }

    /// Gives a child the score that this process had before ``disableOOMKill()``: it has inherited the
    /// changed one.
    package static func restoreOOMScore(of pid: Int32) {
        let score = formerScore.load(ordering: .relaxed)
        guard score != .min else { return }
        try? write("\(score)", to: "/proc/\(pid)/oom_score_adj")
    }

    private static let formerScore = Atomic<Int>(.min)

    /// Returns the integer in the first line of one of the kernel's files; nil when there is none.
    package static func integer(in path: String) -> Int? {
        (TextFile.read(path)?.split(separator: "\n").first).flatMap { Int($0) }
    }

    /// Writes a text to one of the kernel's files. write(2)
    package static func write(_ text: String, to path: String) throws(Errno) {
        let file = try Descriptor(opening: path, .writeOnly)
        try writeAll(text, to: file.rawValue)
        extendLifetime(file)
    }
}

/// A private part of the process's memory. proc(5), `/proc/pid/maps`
struct OwnMapping: Equatable {
    let start: UInt
    let count: Int

    init(start: UInt, count: Int) {
        self.start = start
        self.count = count
    }

    /// Parses a line of the table. Nil for a mapping that is shared, not readable, or the kernel's, such
    /// as `[vdso]`.
    init?(_ line: Substring) {
        let words = line.split(separator: " ")
        guard words.count >= 5, words[1].hasPrefix("r"), words[1].hasSuffix("p"),
            words.last?.hasPrefix("[v") != true
        else { return nil }
        let ends = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
        guard ends.count == 2, ends[0] < ends[1] else { return nil }
        self.init(start: ends[0], count: Int(ends[1] - ends[0]))
    }
}

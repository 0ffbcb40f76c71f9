internal import CLinux
internal import Glibc
internal import Synchronization
public import SystemPackage

/// Precautions of a process that the kernel gives memory back through.
public enum MemoryPressure {
    /// Keeps what the process has in memory: all of its code, stacks and buffers, also what was not there
    /// yet. What it shares with others, and what comes later, stays from when it is first touched.
    /// Throws `notPermitted` when it may not lock as much as it likes: later mappings would fail.
    /// mlockall(2), mlock(2)
    public static func lockProcess() throws(Errno) {
        try checked(clinux_lock_process())
        let mappings = (TextFile.read("/proc/self/maps") ?? "").split(separator: "\n")
        for mapping in mappings.compactMap({ OwnMapping($0) }) {
            let base = unsafe UnsafeRawPointer(bitPattern: mapping.start)
            guard let base = unsafe base, unsafe mlock(base, mapping.count) != 0 else { continue }
            // Somebody has unmapped it meanwhile.
            if errno != ENOMEM { throw Errno(rawValue: errno) }
        }
    }

    /// What is mapped from here on is in memory as a whole, and stays: the stacks and buffers of threads
    /// that are yet to come. mlockall(2), `MCL_FUTURE`
    public static func lockFutureMappings() throws(Errno) {
        try checked(clinux_lock_what_comes())
    }

    /// Marks the calling thread, and those it makes: when it needs memory, the kernel does not write
    /// something back for that, which may have to go through this very thread. Needs
    /// `CAP_SYS_RESOURCE`. prctl(2), `PR_SET_IO_FLUSHER` (Linux 5.6)
    public static func setIOFlusher() throws(Errno) {
        try checked(clinux_become_flusher())
    }

    /// Bytes that the kernel keeps back for what must not wait for memory; 0 when it does not tell.
    /// `vm.min_free_kbytes`
    public static var reserveBytes: Int {
        (integer(in: "/proc/sys/vm/min_free_kbytes") ?? 0) << 10
    }

    /// Lets the calling thread have memory that the kernel keeps back from others when there is nearly
    /// none: threads with real-time priority may use a part of that. Needs `CAP_SYS_NICE`.
    /// sched_setscheduler(2), `SCHED_RR`
    public static func enterRealTimeClass() throws(Errno) { try checked(clinux_set_real_time(1)) }

    /// Takes that back.
    public static func leaveRealTimeClass() throws(Errno) { try checked(clinux_set_real_time(0)) }

    /// Has the kernel choose any other process when one must be killed for its memory. Needs
    /// `CAP_SYS_RESOURCE`. proc(5), `oom_score_adj`
    public static func disableOOMKill() throws(Errno) {
        let path = "/proc/self/oom_score_adj"
        let former = integer(in: path) ?? 0
        try write("-1000", to: path)
        scoreOfOthers.store(former, ordering: .relaxed)
    }

    /// What other programs that this one starts are to have: they would inherit its score.
    package static func restoreOOMScore(of pid: Int32) {
        let score = scoreOfOthers.load(ordering: .relaxed)
        guard score != .min else { return }
        try? write("\(score)", to: "/proc/\(pid)/oom_score_adj")
    }

    private static let scoreOfOthers = Atomic<Int>(.min)

    /// The number that one of the kernel's files has in its first line.
    package static func integer(in path: String) -> Int? {
        (TextFile.read(path)?.split(separator: "\n").first).flatMap { Int($0) }
    }

    package static func write(_ text: String, to path: String) throws(Errno) {
        let file = Descriptor(
            adopting: try checkedErrno(unsafe open(path, O_WRONLY | O_CLOEXEC)))
        let bytes = Array(text.utf8)
        try checkedErrno(
            CInt(clamping: unsafe Glibc.write(file.rawValue, bytes, bytes.count)))
    }
}

/// A part of the process's memory that is its own. proc(5), `/proc/pid/maps`
struct OwnMapping: Equatable {
    let start: UInt
    let count: Int

    init(start: UInt, count: Int) {
        self.start = start
        self.count = count
    }

    /// Nil for a line about what is shared, cannot be read, or is the kernel's: `[vdso]` and the like.
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

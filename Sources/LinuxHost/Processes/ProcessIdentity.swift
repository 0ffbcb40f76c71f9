internal import CLinux
internal import Glibc
package import LinuxIO
package import SystemPackage

/// A process, identified by its pid and its start, so that a later process with the same pid is another one.
package struct ProcessIdentity: Sendable, Hashable {
    /// The process id.
    package let pid: Int32
    /// When the process started, in the kernel's clock ticks since boot. proc(5), `starttime`
    package let start: UInt64

    /// This process.
    package static var current: ProcessIdentity {
        ProcessIdentity(running: getpid()) ?? ProcessIdentity(pid: getpid(), start: 0)
    }

    /// The ids of all processes; those that end meanwhile may be among them. proc(5)
    package static var allPIDs: [Int32] { Directory.names(in: "/proc").compactMap { Int32($0) } }

    /// A process with a known pid and start.
    package init(pid: Int32, start: UInt64) {
        self.pid = pid
        self.start = start
    }

    /// The process that has a pid now; nil when none has, or it has ended.
    package init?(running pid: Int32) {
        guard let text = TextFile.read("/proc/\(pid)/stat"),
            let (state, start) = Self.parse(text), state != "Z", state != "X"
        else { return nil }
        self.init(pid: pid, start: start)
    }

    /// Whether the process is still running. It counts as running when this process cannot tell, for lack of
    /// a descriptor or memory: only a process that is known to have ended counts as ended.
    package var isRunning: Bool {
        do throws(Errno) {
            let text = try TextFile.contents(of: "/proc/\(pid)/stat")
            guard let (state, start) = Self.parse(text) else { return true }
            return state != "Z" && state != "X" && start == self.start
        } catch {
            return error != .noSuchFileOrDirectory && error != .noSuchProcess
        }
    }

    /// Sends a signal to the process, if it is still running. kill(2)
    package func signal(_ signal: Int32) {
        if isRunning { kill(pid, signal) }
    }

    /// Returns the state and the start in the text of /proc/PID/stat. The name, which may contain anything, ends
    /// with the last parenthesis; the start is the 20th word after it.
    static func parse(_ text: String) -> (state: Substring, start: UInt64)? {
        guard let end = text.lastIndex(of: ")") else { return nil }
        let words = text[text.index(after: end)...].split { $0 == " " || $0 == "\n" }
        guard words.count >= 20, let start = UInt64(words[19]) else { return nil }
        return (words[0], start)
    }
}

/// Waits for the end of a process that is not a child. pidfd_open(2)
package struct ProcessWatch: ~Copyable, Sendable {
    fileprivate let descriptor: Descriptor

    /// Watches a process; nil when it has ended already, or the kernel gives no descriptor for it.
    package init?(_ process: ProcessIdentity) {
        let result = clinux_process_descriptor(process.pid)
        guard result >= 0 else { return nil }
        let descriptor = Descriptor(adopting: result)
        // Checked once the descriptor is open: from then on, the descriptor means this very process.
        guard process.isRunning else { return nil }
        self.descriptor = descriptor
    }

    /// Waits for the end of the process; returns false when the time is over before.
    package func wait(milliseconds: Int) throws(Errno) -> Bool {
        try PollSource.poll([.exit(self)], milliseconds: milliseconds)[0]
    }
}

extension PollSource {
    /// A process, which need not be a child, has ended.
    package static func exit(_ process: borrowing ProcessWatch) -> PollSource {
        .input(descriptor: process.descriptor.rawValue)
    }
}

internal import LinuxIO
internal import CLinux
internal import Glibc
package import SystemPackage

/// A process's number, and when it was started.
package struct ProcessIdentity: Sendable, Hashable {
    /// Its number.
    package let pid: Int32
    /// When it was started, in the kernel's ticks since the machine was. proc(5), `starttime`
    package let start: UInt64

    /// This process.
    package static var current: ProcessIdentity {
        ProcessIdentity(running: getpid()) ?? ProcessIdentity(pid: getpid(), start: 0)
    }

    /// One that is known by both.
    package init(pid: Int32, start: UInt64) {
        self.pid = pid
        self.start = start
    }

    /// The process that has this number now; nil when none has, or it has ended.
    package init?(running pid: Int32) {
        guard let text = TextFile.read("/proc/\(pid)/stat"),
            let (state, start) = Self.parse(text), state != "Z", state != "X"
        else { return nil }
        self.init(pid: pid, start: start)
    }

    /// Whether it is still running. A process that cannot be looked at, because this one has no descriptor
    /// or memory left for that, counts as running: only what is known to be gone is gone.
    package var isRunning: Bool {
        do throws(Errno) {
            let text = try TextFile.contents(of: "/proc/\(pid)/stat")
            guard let (state, start) = Self.parse(text) else { return true }
            return state != "Z" && state != "X" && start == self.start
        } catch {
            return error != .noSuchFileOrDirectory && error != .noSuchProcess
        }
    }

    /// Sends it a signal, if it is still running. kill(2)
    package func signal(_ signal: Int32) {
        if isRunning { kill(pid, signal) }
    }

    /// Its state and its start, out of the text of /proc/PID/stat. The name, which may have anything
    /// in it, ends with the last parenthesis; the start is the 20th word behind that.
    static func parse(_ text: String) -> (state: Substring, start: UInt64)? {
        guard let end = text.lastIndex(of: ")") else { return nil }
        let words = text[text.index(after: end)...].split { $0 == " " || $0 == "\n" }
        guard words.count >= 20, let start = UInt64(words[19]) else { return nil }
        return (words[0], start)
    }
}

/// A way to wait for the end of a process that is no child. pidfd_open(2)
package struct ProcessWatch: ~Copyable, Sendable {
    let descriptor: Descriptor

    /// Watches a process; nil when it has ended already.
    package init?(_ process: ProcessIdentity) {
        let number = clinux_process_descriptor(process.pid)
        guard number >= 0 else { return nil }
        let descriptor = Descriptor(adopting: number)
        // Asked after the descriptor is had: from then on the number cannot mean another one.
        guard process.isRunning else { return nil }
        self.descriptor = descriptor
    }

    /// Waits for its end; false when the time is over before.
    package func wait(milliseconds: Int) throws(Errno) -> Bool {
        try PollSource.poll([.exit(self)], milliseconds: milliseconds)[0]
    }
}

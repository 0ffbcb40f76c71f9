internal import LinuxIO
internal import CLinux
internal import Glibc
internal import Synchronization
package import SystemPackage

/// A command with all that this process was started with: its descriptors, its terminal, its
/// environment. Its end has to be waited for, once.
package final class ForegroundCommand: Sendable {
    /// The process's number; 0 when it has been waited for, and the number may be another's.
    private let process: Mutex<pid_t>

    /// Starts a program that is found as a shell finds it, with this process's environment and these
    /// additions to it. Signals that this program watches for do there what they do by default.
    /// posix_spawnp(3)
    ///
    /// - Throws: what exec(3) says: `noSuchFileOrDirectory`, `permissionDenied` and the like.
    package init(
        command: [String], environment additions: [(name: String, value: String)]
    ) throws(Errno) {
        var number: pid_t = 0
        let result = unsafe Self.withCStrings(command) { arguments in
            unsafe Self.withCStrings(additions.map { "\($0.name)=\($0.value)" }) { settings in
                unsafe clinux_spawn_command(arguments, settings, additions.count, &number)
            }
        }
        try checked(result)
        process = Mutex(number)
    }

    /// Sends it a signal, unless it has ended and been waited for. kill(2)
    package func signal(_ number: Int32) {
        process.withLock { process in
            if process > 0 { kill(process, number) }
        }
    }

    /// Waits for its end. waitid(2)
    package func wait() -> ChildProcess.Ending {
        let number = process.withLock { $0 }
        var info = unsafe siginfo_t()
        // First only seen, so that its number stays its own until nobody can signal it any more.
        while unsafe waitid(P_PID, id_t(number), &info, WEXITED | WNOWAIT) < 0, errno == EINTR {}
        return process.withLock { process in
            process = 0
            var status: CInt = 0
            while unsafe waitpid(number, &status, 0) < 0, errno == EINTR {}
            let signal = status & 0x7f
            return signal == 0 ? .exited(status >> 8 & 0xff) : .killed(signal)
        }
    }

    /// Whether this process and its children belong to the terminal's foreground: then a signal that a
    /// person sends with a key has reached the children as well. tcgetpgrp(3)
    package static var isInForeground: Bool {
        let number = unsafe open("/dev/tty", O_RDONLY | O_CLOEXEC)
        guard number >= 0 else { return false }
        let terminal = Descriptor(adopting: number)
        return tcgetpgrp(terminal.rawValue) == getpgrp()
    }

    /// Lends texts as C has them, with a null pointer behind the last.
    private static func withCStrings(
        _ texts: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> CInt
    ) -> CInt {
        var pointers = unsafe texts.map { unsafe strdup($0) }
        unsafe pointers.append(nil)
        defer { for index in unsafe pointers.indices { unsafe free(pointers[index]) } }
        return unsafe body(pointers)
    }
}

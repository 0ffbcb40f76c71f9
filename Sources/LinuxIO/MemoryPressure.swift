// What a process can do so that a machine without memory goes on through it.

internal import CLinux
internal import Glibc
public import SystemPackage

/// Precautions of a process that the kernel gives memory back through.
public enum MemoryPressure {
    /// Keeps everything of the process in memory that is there or comes there: code, stacks, buffers.
    /// Throws `notPermitted` when it may not lock as much as it likes: later mappings would fail.
    /// mlockall(2), `MCL_ONFAULT`
    public static func lockProcess() throws(Errno) {
        try checked(clinux_lock_process())
    }

    /// Marks the calling thread, and those it makes: when it needs memory, the kernel does not write
    /// something back for that, which may have to go through this very thread. Needs
    /// `CAP_SYS_RESOURCE`. prctl(2), `PR_SET_IO_FLUSHER` (Linux 5.6)
    public static func becomeFlusher() throws(Errno) {
        try checked(clinux_become_flusher())
    }

    /// Has the kernel choose any other process when one must be killed for its memory. Needs
    /// `CAP_SYS_RESOURCE`; children inherit it. proc(5), `oom_score_adj`
    public static func neverKill() throws(Errno) {
        let number = try checkedErrno(
            unsafe open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC))
        let file = Descriptor(adopting: number)
        let text = Array("-1000".utf8)
        try checkedErrno(CInt(clamping: unsafe write(file.rawValue, text, text.count)))
    }
}

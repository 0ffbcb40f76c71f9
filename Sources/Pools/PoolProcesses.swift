internal import Glibc
internal import KernelDisks
internal import LinuxHost
internal import LinuxIO
internal import ProgramSupport
internal import SystemPackage

/// The processes that work for a pool: those of `pool up` and `pool replace`, the programs that they run, and the
/// servers of local members. All have a variable in their environment, by which a later command finds the processes
/// that a killed command has left.
enum PoolProcesses {
    private static let variable = "RAMDISK_NBD_POOL"
    /// The time in milliseconds that such a process gets to end. mkfs may have much to write.
    private static let timeLimit = 60_000

    /// Marks this process and all processes that it starts.
    static func mark(_ pool: String) {
        // Sound: the signal thread of this process, the only other one, does not read the environment.
        _ = unsafe setenv(variable, pool, 1)
    }

    /// Ends the processes that a killed command has left, and waits for that. The supervisors of disks with a record
    /// continue: `pool down` takes their disks down later.
    static func endStrays(of pool: String) throws(Failure) {
        // A process may have started another one just before it was ended.
        while let process = firstStray(of: pool) {
            guard let watch = ProcessWatch(process) else { continue }
            process.signal(SIGTERM)
            guard (try? watch.wait(milliseconds: timeLimit)) == true else {
                throw .unavailable(
                    "process \(process.pid), which `pool up` has started, does not end within "
                        + "\(timeLimit / 1_000) seconds; end it, then try again")
            }
        }
    }

    private static func firstStray(of pool: String) -> ProcessIdentity? {
        let processes = all(of: pool)
        // Read after the list: a supervisor in it that has written its record since is not a stray process.
        let supervisors = Set((RuntimeDirectory()?.records ?? []).map(\.supervisor))
        return processes.first { !supervisors.contains($0) }
    }

    /// Returns the processes of this user that work for a pool.
    static func all(of pool: String) -> [ProcessIdentity] {
        let wanted = "\(variable)=\(pool)"
        return ProcessIdentity.allPIDs.filter { pid in
            // Any user can set the variable in a process of theirs.
            pid != getpid() && (try? FileStatus.of("/proc/\(pid)"))?.uid == geteuid()
                && (TextFile.read("/proc/\(pid)/environ") ?? "").split(separator: "\0").contains {
                    $0 == wanted
                }
        }.compactMap(ProcessIdentity.init(running:))
    }
}

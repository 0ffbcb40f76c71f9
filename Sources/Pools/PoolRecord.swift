internal import FoundationEssentials
internal import KernelDisks
internal import LinuxHost
internal import LinuxIO
internal import NBDKernel
package import ProgramSupport
internal import SystemPackage

/// The record of a pool for other processes. `pool up` writes each of its steps here before the step, so that
/// `pool down` finds everything, whenever `pool up` was killed. The array itself is not recorded: sysfs says which
/// array a member is part of.
package struct PoolRecord: Sendable, Equatable, Codable {
    /// A member that is attached, or about to be.
    package struct Member: Sendable, Equatable, Codable {
        /// The number of the member, which no later member of the pool has.
        let number: Int
        /// The text of its source.
        package let text: String
        /// The path of the device of a remote member. A local member's device is in the disk's own record.
        var device: String?

        var isLocal: Bool { text.hasPrefix(MemberSource.localPrefix) }
    }

    package let name: String
    package let level: PoolLevel
    /// The time in seconds that a request to a member may take.
    let timeout: UInt64
    package var members: [Member] = []
    /// The mount point; nil when the array is not mounted.
    package var mountPoint: String?
    /// The number of directories that were created for the mount point.
    var madeDirectories = 0
    /// The number of the next member.
    private var nextNumber = 0

    init(name: String, level: PoolLevel, timeout: UInt64) {
        self.name = name
        self.level = level
        self.timeout = timeout
    }

    /// Adds a member that is about to be attached, and returns its index.
    mutating func add(_ source: MemberSource) -> Int {
        members.append(Member(number: nextNumber, text: "\(source)"))
        nextNumber += 1
        return members.count - 1
    }

    /// Throws when a source that is to be a new member is one already: the array would copy it over itself.
    ///
    /// - Parameter old: the member that it replaces; nil for none.
    func requireNew(_ source: MemberSource, replacing old: Member?) throws(Failure) {
        guard case .remote = source,
            members.contains(where: { $0.text == "\(source)" && $0.number != old?.number })
        else { return }
        throw .unavailable(
            "\(source) is a member of \(name) already; `pool status` shows its state")
    }

    /// Whether a member is an export of another server.
    var isRemote: Bool { members.contains { !$0.isLocal } }

    /// The name under which the record of a local member's disk has the member.
    func label(of member: Member) -> String { "\(name)/\(member.number)" }
}

/// The records of this machine's pools, in the runtime directory.
package struct PoolDirectory: Sendable {
    private let runtime: RuntimeDirectory
    private static let suffix = ".pool"
    /// Milliseconds to wait for another command that chooses a device, which takes it less than one.
    private static let devicesTimeLimit = 10_000

    init(_ runtime: RuntimeDirectory) { self.runtime = runtime }

    /// The runtime directory, if it is there and can be trusted.
    package init?() {
        guard let runtime = RuntimeDirectory() else { return nil }
        self.init(runtime)
    }

    /// Creates the runtime directory if it does not exist.
    static func make() throws(Failure) -> PoolDirectory {
        _ = try RuntimeDirectory.make()
        guard let directory = PoolDirectory() else {
            throw .notPermitted("the runtime directory can be written by other users: remove it")
        }
        return directory
    }

    /// The records of all pools.
    package var records: [PoolRecord] {
        Directory.names(in: runtime.path).filter { $0.hasSuffix(Self.suffix) }.compactMap {
            current(String($0.dropLast(Self.suffix.count)))
        }
    }

    /// Reads the record of a pool; nil when there is none.
    func current(_ name: String) -> PoolRecord? {
        TextFile.read(path(name)).flatMap {
            try? JSONDecoder().decode(PoolRecord.self, from: Data($0.utf8))
        }
    }

    /// Returns the record of the pool with this name, this mount point or this path of the array.
    package static func record(of target: String) throws(Failure) -> PoolRecord {
        let records = PoolDirectory()?.records ?? []
        let path = absolutePath(target)
        let found =
            records.first { $0.name == target } ?? records.first { $0.mountPoint == path }
            ?? records.first { ThisMachine().array(of: $0)?.path == path }
        guard let found else {
            throw .unavailable(
                "there is no pool \(target); ramdisk-nbd pool status shows the pools that are up")
        }
        return found
    }

    func write(_ record: PoolRecord) throws(Failure) {
        let file = path(record.name)
        do {
            try TextFile.replace(file, with: try jsonLine(record))
        } catch {
            throw .cannotCreate("cannot write the pool's record \(file): \(error)")
        }
    }

    func remove(_ record: PoolRecord) { Directory.removeFile(path(record.name)) }

    /// Removes the runtime directory if nothing else is in it but what a killed command has left.
    func removeIfEmpty() {
        removeLock(at: devicesLock)
        Directory.removeEmpty(runtime.path)
    }

    /// Locks a pool, so that one command at a time changes it. The kernel drops the lock of a process that is killed.
    func lock(_ name: String) throws(Failure) -> LockFile {
        try lock(path(name) + ".lock", milliseconds: 0) {
            "\($0) is changing the pool \(name): wait until it has ended"
        }
    }

    /// Locks the choice of devices: no other pool reserves a device meanwhile.
    func lockDevices() throws(Failure) -> LockFile {
        try lock(devicesLock, milliseconds: Self.devicesTimeLimit) {
            "\($0) does not end choosing a device: end it, then try again"
        }
    }

    /// Locks a file. While another process has locked it, tries again for some time.
    private func lock(
        _ file: String, milliseconds: Int, held: (String) -> String
    ) throws(Failure) -> LockFile {
        let deadline = MonotonicTime.now().adding(milliseconds: milliseconds)
        while true {
            do throws(LockFile.Failure) {
                return try LockFile(file)
            } catch {
                switch error {
                case .held(let pid):
                    let holder = pid.map { "process \($0)" } ?? "another process"
                    guard .now() < deadline else { throw .unavailable(held(holder)) }
                    Thread.sleep(milliseconds: 5)
                case .system(let error): throw .cannotCreate("cannot lock \(file): \(error)")
                }
            }
        }
    }

    /// Removes the lock of a `pool up` that was killed before it had a record. Does nothing while the lock is held.
    func removeLock(of name: String) {
        guard !name.contains("/") else { return }
        removeLock(at: path(name) + ".lock")
        removeIfEmpty()
    }

    /// Removes the file of a lock that no process holds.
    private func removeLock(at file: String) {
        guard FileIdentity(path: file) != nil, let lock = try? LockFile(file) else { return }
        extendLifetime(lock)
    }

    /// The lock of the choice of devices. No pool's lock has this name: those end with ".pool.lock".
    private var devicesLock: String { "\(runtime.path)/pool-devices.lock" }

    private func path(_ name: String) -> String { "\(runtime.path)/\(name)\(Self.suffix)" }
}

internal import ArgumentParser
internal import ConfigurationFiles
internal import DiskContents
internal import KernelDisks
internal import LinuxHost
internal import NBDKernel
internal import Observability
internal import ObservabilityClient
internal import Pools
internal import ProgramSupport

// What shells offer for a value, beside paths and the values of enumerations. A shell runs the program for it at each
// Tab, so a wrong state of the machine leads to an empty list, never to an error.
extension CompletionKind {
    /// Common sizes; or, after digits, these digits with each unit.
    static var size: CompletionKind {
        .custom { _, _, typed in
            guard !typed.isEmpty else { return ["64M", "256M", "1G", "4G", "16G"] }
            return typed.allSatisfy(\.isASCIIDigit) ? ["K", "M", "G", "T"].map { typed + $0 } : []
        }
    }

    /// Devices to which nothing is attached.
    static var freeDevice: CompletionKind {
        .custom { _, _, _ in NBDDevice.all.filter { (try? $0.isConnected()) == false }.map(\.path) }
    }

    /// Devices to which a server is attached.
    static var attachedDevice: CompletionKind {
        .custom { _, _, _ in disks.compactMap(\.device) }
    }

    /// What `down` finds a kernel disk by: mount points, devices and backings.
    static var kernelDisk: CompletionKind {
        .custom { _, _, _ in
            let disks = disks.filter { $0.state != .served }
            return disks.compactMap { $0.mountPoint?.hasPrefix("/") == true ? $0.mountPoint : nil }
                + disks.compactMap(\.device) + disks.compactMap(\.backing)
        }
    }

    /// The names of pools.
    static var pool: CompletionKind {
        .custom { _, _, _ in (PoolDirectory()?.records ?? []).map(\.name) }
    }

    /// The named disks of running servers.
    static var export: CompletionKind { .custom { _, _, _ in namedDisks } }

    /// Snapshots or checkpoints of running servers, as the commands take them: `NAME` or `DISK@NAME`. For a new one,
    /// the disk's part.
    static var content: CompletionKind {
        .custom { words, _, _ in
            guard words.dropFirst(2).first != "create" else { return namedDisks.map { "\($0)@" } }
            return words.dropFirst().first == "checkpoint" ? checkpoints : snapshots
        }
    }

    /// The sources of clones: disks and snapshots.
    static var cloneSource: CompletionKind { .custom { _, _, _ in namedDisks + snapshots } }

    /// Clones of running servers.
    static var clone: CompletionKind {
        .custom { _, _, _ in
            servers.flatMap { (try? $0.get("/clones", as: [CloneStatus].self)) ?? [] }
                .map(\.export)
        }
    }

    private static var snapshots: [String] {
        servers.flatMap { (try? $0.get("/snapshots", as: [SnapshotStatus].self)) ?? [] }
            .map { $0.disk.isEmpty ? $0.name : $0.export }
    }

    private static var checkpoints: [String] {
        servers.flatMap { (try? $0.get("/checkpoints", as: [CheckpointStatus].self)) ?? [] }
            .map { $0.disk.isEmpty ? $0.name : "\($0.disk)@\($0.name)" }
    }

    private static var namedDisks: [String] {
        servers.flatMap { (try? $0.get("/stats", as: Stats.self))?.disks ?? [] }
            .map(\.export).filter { !$0.isEmpty }
    }

    /// Time in milliseconds that each server may take: a person waits after the Tab key.
    private static let timeoutMilliseconds = 300

    private static var disks: [ListedDisk] {
        ListedDisk.all(timeoutMilliseconds: timeoutMilliseconds)
    }

    private static var servers: [ControlClient] {
        ControlSearch(timeoutMilliseconds: timeoutMilliseconds).sockets.map {
            ControlClient(path: $0, timeoutMilliseconds: timeoutMilliseconds)
        }
    }

    /// Configuration files: their names; or, after a slash, the paths in that directory.
    static var configuration: CompletionKind {
        .custom { _, _, typed in
            guard let slash = typed.lastIndex(of: "/") else {
                return ConfigurationDirectory().names
            }
            let parent = String(typed[...slash])
            return Directory.names(in: parent).filter {
                $0.hasSuffix(".toml") || Directory.exists(parent + $0)
            }
            .map { parent + $0 }
        }
    }

    /// Accounts of this machine. getent(1)
    static var user: CompletionKind { .shellCommand("getent passwd | cut -d : -f 1") }
    static var group: CompletionKind { .shellCommand("getent group | cut -d : -f 1") }
}

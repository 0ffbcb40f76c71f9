@testable import Observability
@testable import ProgramSupport
@testable import ServerHost
import Confinement
import LinuxHost
import LinuxIO
import Logging
import NBDServer
import Testing

// Serialized: the tests share a directory.
@Suite("A start that is interrupted", .serialized) struct InterruptedStartTests {
    private let directory = "/dev/shm/ramdisk-nbd-start-\(CurrentProcess.pid)"
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func service(_ names: String...) throws(Failure) -> DiskService {
        try DiskService(
            configuration: DiskService.Configuration(
                disks: names.map { name in
                    DiskConfiguration(
                        name: name, size: 1 << 20, isSparse: true, isReadOnly: false,
                        backing: BackingConfiguration(
                            name: name, directory: directory, isKept: false))
                }, addresses: ListenConfiguration(), options: ServerOptions(),
                control: ControlConfiguration(socket: .none), sandbox: .off),
            logger: logger)
    }

    private var names: [String] { Directory.names(in: directory) }

    /// Leaves a disk as an earlier server would.
    private func keepDisk(_ name: String) throws {
        for export in try service(name).makeExports().map(\.export) {
            try export.disk.publish()
            export.disk.keep()
        }
    }

    private func removeDisks() {
        for name in names { Directory.removeFile("\(directory)/\(name)") }
        Directory.removeEmpty(directory)
    }

    @Test("leaves disks that existed, and removes those that it has created")
    func found() throws {
        defer { removeDisks() }
        try keepDisk("found")
        #expect(names == ["found"])
        let interrupted = try service("found", "new")
        let exports = try interrupted.makeExports().map(\.export)
        for export in exports { try export.disk.publish() }
        #expect(names == ["found", "new"])
        interrupted.removeFiles()
        #expect(names == ["found"])
    }

    @Test(
        "that fails removes its files and the disks that it has created, and keeps those that existed"
    )
    func failed() throws {
        defer { removeDisks() }
        try keepDisk("found")
        let socket = "\(directory)/control"
        var wasThere = false
        let error = #expect(throws: Failure.self) {
            try HostedServer(
                HostedServer.Configuration(
                    options: ServerOptions(), control: ControlConfiguration(socket: .at(socket)),
                    protection: .none, confinement: Confinement(mode: .off)),
                logger: logger, cleanup: CleanupStack(),
                makeDisks: { () throws(Failure) in try service("found", "new").makeExports() },
                prepare: { (_, _) throws(Failure) in
                    wasThere = names.contains("control")
                    throw .system("the last step failed")
                },
                onEvent: { _ in })
        }
        #expect(error?.kind == .system)
        #expect(wasThere)
        #expect(names == ["found"])
    }
}

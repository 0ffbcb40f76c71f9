@testable import ProgramSupport
import Foundation
import Glibc
import Testing

@testable import RamdiskNBD

@Suite("The directory of control sockets") struct RuntimePlacesTests {
    private let scratch: String

    init() throws {
        scratch = NSTemporaryDirectory() + "places-\(UUID())"
        try FileManager.default.createDirectory(
            atPath: scratch + "/run", withIntermediateDirectories: true)
        try FileManager.default.createDirectory(
            atPath: scratch + "/tmp", withIntermediateDirectories: true)
    }

    private func places(_ user: UInt32, _ environment: [String: String] = [:]) -> RuntimeDirectories
    {
        RuntimeDirectories(
            user: user, environment: environment, run: scratch + "/run", temporary: scratch + "/tmp"
        )
    }

    @Test(
        "is that of the unit, else of the system for root, else of the session, else the user's own"
    )
    func order() {
        let session = ["XDG_RUNTIME_DIR": "/run/user/7"]
        let unit = session.merging(["RUNTIME_DIRECTORY": "/run/unit:/run/other"]) { $1 }
        #expect(places(0).control == scratch + "/run/ramdisk-nbd")
        #expect(places(0, session).control == scratch + "/run/ramdisk-nbd")
        #expect(places(7, session).control == "/run/user/7/ramdisk-nbd")
        #expect(places(7).control == scratch + "/tmp/ramdisk-nbd-7")
        #expect(places(7, ["XDG_RUNTIME_DIR": ""]).control == scratch + "/tmp/ramdisk-nbd-7")
        #expect(places(7, unit).control == "/run/unit")
        #expect(places(0, unit).control == "/run/unit")
        // `down` and `list` are not part of the unit.
        #expect(places(7, unit).standard == "/run/user/7/ramdisk-nbd")
    }

    @Test("is searched in every place where a server of the user may have created it")
    func user() {
        let searched = places(7, ["XDG_RUNTIME_DIR": "/session"]).searched
        #expect(
            searched == [
                "/session/ramdisk-nbd", scratch + "/run/user/7/ramdisk-nbd",
                scratch + "/tmp/ramdisk-nbd-7",
            ])
    }

    @Test("is searched by root in all places, also those of units and users")
    func root() throws {
        for name in [
            "run/ramdisk-nbd-serve", "run/user/7/ramdisk-nbd", "tmp/ramdisk-nbd-8", "run/other",
            "tmp/ramdisk-nbd-aX3fgh",
        ] {
            try FileManager.default.createDirectory(
                atPath: "\(scratch)/\(name)", withIntermediateDirectories: true)
        }
        #expect(
            places(0).searched == [
                scratch + "/run/ramdisk-nbd", scratch + "/run/ramdisk-nbd-serve",
                scratch + "/run/user/7/ramdisk-nbd", scratch + "/tmp/ramdisk-nbd-8",
            ])
    }

    @Test("is created for its user alone")
    func made() throws {
        let path = scratch + "/tmp/mine"
        try places(geteuid()).make(path)
        var status = stat()
        #expect(unsafe lstat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o700)
        try places(geteuid()).make(path)
    }

    @Test("of another user, or open to others, or behind a link, is rejected")
    func foreign() throws {
        let path = scratch + "/tmp/open"
        #expect(unsafe mkdir(path, 0o700) == 0)
        #expect(throws: Failure.self) { try places(geteuid() + 1).make(path) }
        #expect(!places(geteuid() + 1).isSafe(path))
        #expect(unsafe symlink(path, path + "-link") == 0)
        #expect(throws: Failure.self) { try places(geteuid()).make(path + "-link") }
        // For a unit with DynamicUser=, systemd creates the directory behind a link.
        try places(geteuid(), ["RUNTIME_DIRECTORY": path + "-link"]).make(path + "-link")
        #expect(unsafe chmod(path, 0o770) == 0)
        #expect(throws: Failure.self) { try places(geteuid()).make(path) }
        #expect(places(geteuid()).isSafe(path + "-missing"))
    }
}

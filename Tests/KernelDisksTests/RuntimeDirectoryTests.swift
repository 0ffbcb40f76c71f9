import LinuxHost
import LinuxIO
import NBDKernel
import Observability
import Testing

@testable import KernelDisks

@Suite("The runtime directory")
struct RuntimeDirectoryTests {
    private func withDirectory(_ body: (RuntimeDirectory) throws -> Void) throws {
        let path = try temporaryDirectory()
        defer { removeDirectory(path) }
        try body(RuntimeDirectory(path: path))
    }

    private func record(pid: Int32, start: UInt64 = 1) -> DiskRecord {
        DiskRecord(supervisor: ProcessIdentity(pid: pid, start: start))
    }

    @Test("returns every record that was written, and no other file")
    func records() throws {
        try withDirectory { directory in
            let first = record(pid: 2)
            let second = record(pid: 3)
            try directory.write(first)
            try directory.write(second)
            try TextFile.replace("\(directory.path)/2.control", with: "")
            try TextFile.replace("\(directory.path)/2.log", with: first.text)
            try TextFile.replace("\(directory.path)/broken.disk", with: "not a record\n")
            #expect(Set(directory.records.map(\.token)) == [first.token, second.token])
        }
    }

    @Test("returns the latest version of a record, and none once it is removed")
    func current() throws {
        try withDirectory { directory in
            var record = record(pid: 2)
            try directory.write(record)
            let old = record
            record.device = NBDDevice(index: 4)
            record.isDetaching = true
            try directory.write(record)
            #expect(directory.current(old) == record)
            #expect(directory.records == [record])
            directory.remove(old)
            #expect(directory.current(record) == nil)
        }
    }

    @Test("keeps two records of one pid apart, and removes one without the other")
    func samePID() throws {
        try withDirectory { directory in
            let old = record(pid: 2, start: 1)
            let new = record(pid: 2, start: 2)
            try directory.write(old)
            try directory.write(new)
            let control = ControlConfiguration.path(in: directory.path, of: 2)
            try TextFile.replace(control, with: "")
            directory.remove(old, living: new)
            #expect(directory.records == [new])
            #expect(TextFile.read(control) != nil)
            directory.remove(new)
            #expect(!Directory.exists(directory.path))
        }
    }

    @Test("removes the log and the control socket of a dead process with its record")
    func files() throws {
        try withDirectory { directory in
            let living = record(pid: 3)
            try directory.write(living)
            var dead = record(pid: 2)
            dead.log = directory.logPath(of: 9)
            let control = ControlConfiguration.path(in: directory.path, of: 2)
            try directory.write(dead)
            try TextFile.replace(dead.log!, with: "")
            try TextFile.replace(control, with: "")
            directory.remove(dead, living: living)
            #expect(TextFile.read(dead.log!) == nil)
            #expect(TextFile.read(control) == nil)
            #expect(directory.records == [living])
        }
    }

    @Test("keeps a log that a living daemon with a reused pid writes to")
    func reusedLog() throws {
        try withDirectory { directory in
            var dead = record(pid: 2)
            var living = record(pid: 3)
            dead.log = directory.logPath(of: 9)
            living.log = dead.log
            try TextFile.replace(dead.log!, with: "")
            directory.remove(dead, living: living)
            #expect(TextFile.read(dead.log!) != nil)
        }
    }
}

@testable import ProgramSupport
@testable import Observability
@testable import ServerHost
@testable import KernelDisks
import ArgumentParser
import Foundation
import NBDServer
import Testing

@testable import RamdiskNBD

@Suite("A relative path on the command line") struct PathTests {
    private let here = FileManager.default.currentDirectoryPath

    @Test(
        "becomes absolute",
        arguments: [
            ("mem", "/a/b/mem"), ("./mem", "/a/b/mem"), (".//mem/x", "/a/b/mem/x"), (".", "/a/b"),
            ("./", "/a/b"), ("../mem", "/a/b/../mem"), ("/mem", "/mem"), ("/", "/"),
        ])
    func root(path: String, expected: String) {
        #expect(fromRoot(path, directory: "/a/b") == expected)
    }

    @Test("becomes absolute in the root directory too")
    func inRoot() {
        #expect(fromRoot("mem", directory: "/") == "/mem")
    }

    @Test("becomes absolute in the configuration of a disk")
    func plan() throws {
        let up = try Up.parse([
            "--backing", "db", "--backing-directory", "mem", "--load", "./image", "--control",
            "control",
        ])
        let plan = up.plan
        #expect(plan.disk.backing?.directory == "\(here)/mem")
        #expect(plan.disk.load == "\(here)/image")
        #expect(plan.serving.control.socket == .at("\(here)/control"))
    }

    @Test("becomes absolute for a worker that is started later, in another directory")
    func worker() throws {
        let up = try Up.parse([
            "--supervise", "--backing", "db", "--backing-directory=mem", "--control", "control",
        ])
        let arguments = try #require(up.plan.worker?.arguments)
        // The directory in which the worker parses them is of no importance.
        let worker = try Up.parse(
            Array(arguments.suffix(4)) + ["--backing", "db", "--role", "worker"])
        #expect(arguments.suffix(4).contains("\(here)/mem"))
        #expect(worker.plan.disk.backing?.directory == "\(here)/mem")
        #expect(worker.plan.serving.control.socket == .at("\(here)/control"))
    }

    @Test("becomes absolute in all options of a server")
    func serve() throws {
        let serve = try Serve.parse([
            "--pid-file", "pid", "--tls-certificates", "pki", "--tls-psk", "keys", "--unix", "sock",
        ])
        #expect(serve.pidFile?.path == "\(here)/pid")
        #expect(serve.encryption.configuration?.certificates == "\(here)/pki")
        #expect(serve.encryption.configuration?.keys == "\(here)/keys")
        #expect(serve.addresses.plan.unix == ["\(here)/sock"])
    }

    @Test("has a length that a socket can have, or is rejected with the reason")
    func tooLong() {
        let name = String(repeating: "x", count: 108)
        #expect {
            try Serve.parse(["--unix", name])
        } throws: { error in
            let text = Serve.message(for: error)
            return text.contains("up to 107 bytes") && text.contains("/\(name)")
        }
    }
}

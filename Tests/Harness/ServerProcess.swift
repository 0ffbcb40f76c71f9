internal import Foundation
internal import Glibc

/// A server that is running and ready.
public struct ServerProcess: Sendable {
    /// The pid.
    public let pid: Int32
    /// The directory of its files, and of the test's.
    public let directory: TemporaryDirectory
    /// From the start of the process to its ready lines.
    public let startDuration: Duration
    /// Readable when the process has ended. pidfd_open(2)
    let descriptor: Int32

    /// The path of its Unix socket, if it was started on one.
    public var socketPath: String { directory.file("nbd.sock") }
    /// The lines that it printed when it was ready: NBD URIs.
    public var readyLines: [String] {
        text(of: directory.file("output")).split(separator: "\n").map(String.init)
    }
    /// The first address.
    public var uri: String { readyLines.first ?? "nbd+unix:///?socket=\(socketPath)" }
    /// The address of an export with a name, on its Unix socket.
    public func uri(_ export: String) -> String { "nbd+unix:///\(export)?socket=\(socketPath)" }
    /// Ports of its TCP addresses, in the order of the ready lines.
    public var ports: [UInt16] {
        readyLines.filter { $0.hasPrefix("nbd://") }
            .compactMap { UInt16($0.split(separator: ":").last ?? "") }
    }
    /// Its log so far.
    public var log: String { text(of: directory.file("log")) }

    /// Sends it a signal.
    public func signal(_ number: Int32) { kill(pid, number) }

    /// Sends it a signal that ends it, and waits for its end.
    public func end(with number: Int32) async throws {
        signal(number)
        try await ends()
    }

    /// Waits for its end.
    public func ends() async throws {
        try await eventually("the server ends; its log:\n\(log)") { hasEnded }
    }

    /// Whether it has ended.
    public var hasEnded: Bool { Harness.hasEnded(descriptor) }

    /// A line of /proc/PID/status that is in KiB, such as VmRSS; in bytes. proc(5)
    public func memory(_ name: String) -> Int {
        let lines = text(of: "/proc/\(pid)/status").split(separator: "\n")
        let words = lines.first { $0.hasPrefix(name + ":") }?.split { $0 == " " || $0 == "\t" }
        return words.flatMap { Int($0[1]) }.map { $0 << 10 } ?? 0
    }

    /// The entries of a directory of /proc/PID: `task` for threads, `fd` for descriptors.
    public func entries(_ name: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/\(name)")
    }

    /// Returns the number of entries of such a directory.
    public func count(_ name: String) throws -> Int { try entries(name).count }
}

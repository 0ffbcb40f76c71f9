import LinuxIO
import NBDProtocol
@testable import NBDServer
import Synchronization
import Testing

/// The kernel's role is played by a client on one connection of a group, and the stalled thread's by a
/// member of the group that the test alone lets leave.
@Suite("A group of connections")
struct ConnectionGroupTests {
    /// A client on a connection that is served, beside a connection whose thread is stalled.
    private final class Scene {
        let client: TestClient
        let disk: RamDisk
        let events = EventRecord()
        /// The stalled thread's membership; it leaves when the thread would have ended.
        let stalled: ConnectionGroup.Membership
        private let stalledEnds: SocketPair

        /// - Parameter isCustom: whether the disk is served as a store of a program's own, as a disk is that is
        ///   still being restored.
        init(isCustom: Bool = false) throws {
            disk = try RamDisk(size: 1 << 20)
            let events = events
            let export =
                isCustom
                ? Export(name: "disk", store: Wrapper(disk: disk))
                : Export(name: "disk", disk: disk)
            let server = try Server(exports: [export], onEvent: { events.record($0) })
            try server.start()
            let group = try ConnectionGroup()
            stalledEnds = try StreamSocket.pair()
            stalled = try #require(group.join(stalledEnds.first.handle))
            client = try TestClient(to: server, export: "disk", in: group)
        }

        /// The kernel gives the stalled thread's connection up.
        func shutDownStalled() { stalledEnds.second.handle.shutdownBoth() }

        /// The first byte on the disk.
        var first: UInt8 { disk.pages.look(at: 0, count: 1).bytes[0] }

        /// Sends a request, and its payload, for the disk's start.
        func send(_ command: Command, cookie: UInt64, _ payload: [UInt8] = []) throws {
            let length = UInt64(payload.isEmpty ? 4096 : payload.count)
            try client.send(
                Request(command, cookie: cookie, offset: 0, length: length), payload)
        }

        /// Whether there is no reply for long enough that there would be one.
        func isWaiting() throws -> Bool { try client.isSilent(milliseconds: 300) }
    }

    @Test(
        "a write waits for the thread of a connection that was shut down, and for no other",
        arguments: [false, true])
    func write(isCustom: Bool) throws {
        let scene = try Scene(isCustom: isCustom)
        try scene.send(.write, cookie: 1, pattern(4096, seed: 1))
        #expect(try scene.client.reply() == SimpleReply(cookie: 1))

        scene.shutDownStalled()
        try scene.send(.write, cookie: 2, pattern(4096, seed: 2))
        #expect(try scene.isWaiting())
        #expect(scene.first == pattern(4096, seed: 1)[0])

        // The stalled thread continues, and ends.
        scene.stalled.leave()
        #expect(try scene.client.reply() == SimpleReply(cookie: 2))
        #expect(scene.first == pattern(4096, seed: 2)[0])
    }

    @Test("a write whose payload comes later waits as well, before its first byte is applied")
    func longWrite() throws {
        let scene = try Scene()
        scene.shutDownStalled()
        let payload = pattern(700_000)
        let request = Request(.write, cookie: 1, offset: 0, length: UInt64(payload.count))
        try scene.client.send(request, Array(payload[..<1000]))
        #expect(try scene.isWaiting())
        #expect(scene.first == 0)
        scene.stalled.leave()
        try scene.client.send(Array(payload[1000...]))
        #expect(try scene.client.reply() == SimpleReply(cookie: 1))
    }

    @Test(
        "zeroing waits as writing does", arguments: [Command.trim, .writeZeroes], [false, true])
    func zeroing(command: Command, isCustom: Bool) throws {
        let scene = try Scene(isCustom: isCustom)
        scene.shutDownStalled()
        try scene.send(command, cookie: 7)
        #expect(try scene.isWaiting())
        scene.stalled.leave()
        #expect(try scene.client.reply() == SimpleReply(cookie: 7))
    }

    @Test("a read does not wait, and what was served before a wait is answered at once")
    func others() throws {
        let scene = try Scene()
        scene.shutDownStalled()
        #expect(try scene.client.read(at: 0, count: 512) == [UInt8](repeating: 0, count: 512))
        try scene.client.send(
            Request(.flush, cookie: 2).encoded
                + Request(.write, cookie: 3, offset: 0, length: 8).encoded + pattern(8))
        #expect(try scene.client.reply() == SimpleReply(cookie: 2))
        #expect(try scene.isWaiting())
        scene.stalled.leave()
        #expect(try scene.client.reply() == SimpleReply(cookie: 3))
    }

    @Test("a connection that is shut down while it waits applies nothing, and does not wait on")
    func own() throws {
        let scene = try Scene()
        scene.shutDownStalled()
        try scene.send(.write, cookie: 2, pattern(4096))
        #expect(try scene.isWaiting())
        scene.client.shutDown()
        #expect(scene.events.waitForEnd())
        #expect(scene.first == 0)
    }

    @Test("a member alone never looks, and a slot is free again when its member has left")
    func slots() throws {
        let group = try ConnectionGroup()
        let pair = try StreamSocket.pair()
        for _ in 0..<1000 {
            let member = try #require(group.join(pair.first.handle))
            #expect(!member.siblings.exist)
            member.leave()
        }
        var members = (0..<ConnectionGroup.capacity).map { _ in group.join(pair.first.handle) }
        #expect(members.allSatisfy { $0 != nil })
        #expect(members[0]?.siblings.exist == true)
        #expect(group.join(pair.first.handle) == nil)
        members.removeLast()
        #expect(group.join(pair.first.handle) != nil)
        pair.second.handle.shutdownBoth()
    }
}

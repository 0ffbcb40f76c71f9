import LinuxHost
import LinuxIO
import Logging
import NBDKernel
import ProgramSupport
import SystemPackage
import Testing

@testable import KernelDisks

/// A device whose connections, server, driver and clock a test controls.
private final class Rig {
    let server = FakeDiskServer()
    let clock = FakeClock()
    let connections: DeviceConnections
    var driver = FakeDriver()

    /// A device with connections that are live, or offered.
    init(_ count: Int = 1, isOffered: Bool = false) throws {
        var opened: [ServerConnection] = []
        for _ in 0..<count { opened.append(try server.connect()) }
        let options = NBDDeviceOptions(
            opened[0].connection.export, requestTimeout: 30, deadConnectionTimeout: 300)
        let clock = clock
        connections = DeviceConnections(
            // There is no such device, so a proof has no queue to read and is over at once.
            NBDDevice(index: NBDDevice.largestIndex), opened, options, isOffered: isOffered,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            now: { clock.now })
    }

    /// Has a connection die, as when the kernel gives it up.
    func kill(_ index: Int, isNoticed: Bool = true) {
        server.opened[index].connection.cut()
        if isNoticed { driver.noticedDeaths += 1 }
    }

    /// Has the server finish all requests that it has received on a connection.
    func finish(_ index: UInt64) { server.working.remove(index) }

    func poll(times: Int = 1) throws {
        for _ in 0..<times { try connections.poll(server, &driver) }
    }
}

@Suite("Nothing is lost, because")
struct NothingIsLostTests {
    @Test("a live connection is left alone")
    func live() throws {
        let rig = try Rig()
        try rig.poll(times: 3)
        #expect(rig.driver.offers.isEmpty)
        #expect(rig.server.opened.count == 1)
        #expect(rig.connections.areAllLive)
    }

    @Test("a dead connection is replaced: live, dead, offered, adopted")
    func replaced() throws {
        let rig = try Rig()
        rig.kill(0)
        try rig.poll()
        #expect(rig.connections.liveCount == 0)
        #expect(rig.connections.pollTimeout == 20)
        rig.finish(0)
        try rig.poll()
        #expect(rig.driver.offers.count == 1)
        #expect(rig.connections.areAllLive)
        #expect(rig.connections.pollSources.count == 1)
    }

    @Test("the kernel gets no new connection before the server is done with the dead one")
    func notBeforeTheServerIsDone() throws {
        let rig = try Rig()
        rig.kill(0)
        for _ in 0..<20 {
            rig.clock.advance(milliseconds: 100)
            try rig.poll()
        }
        #expect(rig.driver.offers.isEmpty)
        #expect(rig.server.opened.count == 1)
        rig.finish(0)
        try rig.poll()
        #expect(rig.driver.offers.count == 1)
    }

    @Test("a write that the server has received is executed before the kernel sends a newer one")
    func order() throws {
        let rig = try Rig()
        var block = "blank"
        // The kernel gives up a connection with a write in flight, and sends a newer one on the next.
        rig.driver.onAdoption = { block = "new" }
        rig.kill(0)
        try rig.poll(times: 3)
        // Only now the server executes the write that it has received on the dead connection.
        block = "old"
        rig.finish(0)
        try rig.poll(times: 3)
        #expect(block == "new")
    }

    @Test("one connection is offered until the kernel has noticed the death of the old one")
    func offeredAgain() throws {
        let rig = try Rig()
        rig.kill(0, isNoticed: false)
        rig.finish(0)
        try rig.poll(times: 5)
        #expect(rig.driver.offers.count == 5)
        #expect(rig.server.opened.count == 2)
        #expect(rig.connections.liveCount == 0)
        rig.driver.noticedDeaths = 1
        try rig.poll()
        #expect(rig.connections.areAllLive)
        try rig.poll(times: 3)
        #expect(rig.driver.offers.count == 6)
    }

    @Test("an offered connection that dies is not replaced before the server is done with it")
    func offeredDies() throws {
        let rig = try Rig()
        rig.kill(0, isNoticed: false)
        rig.finish(0)
        try rig.poll()
        rig.kill(1, isNoticed: false)
        rig.driver.noticedDeaths = 1
        try rig.poll(times: 3)
        #expect(rig.server.opened.count == 2)
        #expect(rig.driver.offers.count == 1)
        rig.finish(1)
        try rig.poll()
        #expect(rig.server.opened.count == 3)
        #expect(rig.connections.areAllLive)
    }

    @Test("a server that hangs on a dead connection is ended by force after ten seconds, and again")
    func force() throws {
        let rig = try Rig()
        rig.kill(0)
        try rig.poll()
        rig.clock.advance(milliseconds: 10_000)
        try rig.poll()
        #expect(rig.server.forcedEnds == 0)
        rig.clock.advance(milliseconds: 1)
        try rig.poll(times: 2)
        #expect(rig.server.forcedEnds == 1)
        // It was ended, but it is not gone yet: there is still no new connection.
        #expect(rig.driver.offers.isEmpty)
        rig.clock.advance(milliseconds: 10_001)
        try rig.poll()
        #expect(rig.server.forcedEnds == 2)
        rig.finish(0)
        try rig.poll()
        #expect(rig.connections.areAllLive)
    }

    @Test(
        "the kernel gets no new connection before it has read the replies on the dead one, or for a second"
    )
    func unreadReplies() throws {
        let rig = try Rig()
        try rig.server.ends[0].send([1, 2, 3, 4])
        rig.kill(0)
        rig.finish(0)
        try rig.poll(times: 3)
        #expect(rig.driver.offers.isEmpty)
        rig.clock.advance(milliseconds: 1_001)
        try rig.poll()
        #expect(rig.driver.offers.count == 1)
    }

    @Test("the other connections stay in use while one is replaced, and none is opened for them")
    func others() throws {
        let rig = try Rig(3)
        rig.kill(1)
        try rig.poll()
        #expect(rig.connections.liveCount == 2)
        rig.finish(1)
        try rig.poll()
        #expect(rig.connections.areAllLive)
        #expect(rig.server.opened.count == 4)
        #expect(rig.driver.offers.map(\.count) == [1])
    }

    @Test("each dead connection waits for its own requests only")
    func independent() throws {
        let rig = try Rig(3)
        rig.kill(0)
        rig.kill(2)
        rig.finish(2)
        try rig.poll()
        #expect(rig.connections.liveCount == 2)
        rig.finish(0)
        try rig.poll()
        #expect(rig.connections.areAllLive)
    }

    @Test("a server that accepts no connection is tried again at every poll")
    func unreachable() throws {
        let rig = try Rig()
        rig.kill(0)
        rig.finish(0)
        rig.server.failure = .unavailable("the worker is being restarted")
        try rig.poll(times: 3)
        #expect(rig.driver.offers.isEmpty)
        rig.server.failure = nil
        try rig.poll()
        #expect(rig.connections.areAllLive)
    }

    @Test("a refusal of the driver is reported, and the connection stays offered")
    func refusal() throws {
        let rig = try Rig()
        rig.kill(0)
        rig.finish(0)
        rig.driver.error = .invalidArgument
        #expect(throws: Errno.invalidArgument) { try rig.poll() }
        #expect(rig.connections.liveCount == 0)
        rig.driver.error = nil
        try rig.poll()
        #expect(rig.server.opened.count == 2)
        #expect(rig.connections.areAllLive)
    }

    @Test("a new supervisor's connections count only when the kernel has adopted them")
    func takeOver() throws {
        let rig = try Rig(2, isOffered: true)
        #expect(rig.connections.liveCount == 0)
        try rig.poll()
        #expect(rig.connections.liveCount == 0)
        rig.driver.noticedDeaths = 1
        try rig.poll()
        #expect(rig.connections.liveCount == 1)
    }

    @Test("a connection that the kernel does not need is closed, and the adopted ones stay")
    func dropOffered() throws {
        let rig = try Rig(2, isOffered: true)
        rig.driver.noticedDeaths = 1
        try rig.poll()
        rig.connections.dropOffered()
        #expect(rig.connections.areAllLive)
        #expect(rig.connections.liveCount == 1)
        #expect(rig.server.ends.map(\.isShutDown) == [false, true])
    }

    @Test(
        "dead connections are not replaced while the supervisor does not want it and others are live"
    )
    func notOffering() throws {
        let rig = try Rig(2)
        rig.connections.isOffering = false
        rig.kill(0)
        rig.finish(0)
        try rig.poll(times: 2)
        #expect(rig.driver.offers.isEmpty)
        rig.kill(1)
        rig.finish(1)
        try rig.poll()
        #expect(rig.connections.areAllLive)
    }

    @Test(
        "requests are repeated soon while connections are proved, and wait as long as wanted afterwards"
    )
    func timeouts() throws {
        let rig = try Rig(2)
        #expect(rig.connections.isBeingProved)
        rig.kill(0, isNoticed: false)
        rig.finish(0)
        try rig.poll()
        #expect(rig.driver.requestTimeout == 1)
        rig.driver.noticedDeaths = 1
        try rig.poll(times: 3)
        #expect(rig.connections.areAllLive)
        #expect(!rig.connections.isBeingProved)
        #expect(rig.driver.requestTimeout == 30)
        #expect(rig.server.opened[2].connection.handle.sendTimeoutMilliseconds == 30_000)
    }
}

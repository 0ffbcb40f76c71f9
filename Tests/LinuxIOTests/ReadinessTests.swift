import SystemPackage
import Testing

@testable import LinuxIO

@Suite("Sockets that must not block")
struct ReadinessTests {
    @Test("a socket with room is ready to send; one with bytes is ready to be read too")
    func ready() throws {
        let pair = try StreamSocket.pair()
        let (first, second) = (pair.first.handle, pair.second.handle)
        #expect(try first.waitEither(milliseconds: 0) == .output)
        let byte = try MemoryMapping(privateBytes: 1)
        #expect(second.send(byte.region) == .bytes(1))
        #expect(try first.waitEither(milliseconds: 0) == [.input, .output])
        #expect(first.receive(into: byte.region, blocking: false) == .bytes(1))
        #expect(try first.waitEither(milliseconds: 0) == .output)
        withExtendedLifetime(pair) {}
    }

    @Test("a non-blocking send to a full socket returns at once, and the socket is not ready")
    func full() throws {
        let pair = try StreamSocket.pair()
        let first = pair.first.handle
        let memory = try MemoryMapping(privateBytes: 1 << 20)
        var list = VectorList(capacity: 1)
        list.append(memory.region)
        while case .bytes = first.send(list, blocking: false) {}
        #expect(first.send(list, blocking: false) == .wouldBlock)
        #expect(first.send(memory.region, blocking: false) == .wouldBlock)
        #expect(try first.waitEither(milliseconds: 1) == [])
        withExtendedLifetime(pair) {}
    }

    @Test("the end of the stream counts as input")
    func ended() throws {
        let pair = try StreamSocket.pair()
        pair.second.handle.shutdownBoth()
        #expect(try pair.first.handle.waitEither(milliseconds: 0).contains(.input))
        withExtendedLifetime(pair) {}
    }

    @Test("a blocking receive ends after its timeout")
    func receiveTimeout() throws {
        let pair = try StreamSocket.pair()
        let memory = try MemoryMapping(privateBytes: 1)
        pair.first.handle.setReceiveTimeout(milliseconds: 5)
        #expect(pair.first.handle.receive(into: memory.region, blocking: true) == .wouldBlock)
        withExtendedLifetime(pair) {}
    }
}

@Suite("Threads and time")
struct BindingTests {
    @Test("processors that do not exist are rejected")
    func binding() {
        for processors in [[], [-1], [Processor.maximumCount], [Processor.maximumCount - 1]] {
            #expect(throws: Errno.invalidArgument) { try Processor.bind(to: processors) }
        }
    }

    @Test("a sleeping thread uses no processor time, and wakes at the given time")
    func sleeping() {
        let used = Processor.threadNanoseconds
        let end = MonotonicTime.now().adding(milliseconds: 20)
        end.sleep()
        #expect(MonotonicTime.now() >= end)
        #expect(Processor.threadNanoseconds - used < 20_000_000)
        // The time is past: returns at once.
        end.sleep()
    }
}

// Which connections end so that the kernel reads the others.

import LinuxIO
import Testing

@testable import RamdiskNBD

@Suite("Connections that the kernel does not read") struct ConnectionRotationTests {
    /// Looks every 10 ms, with the unread bytes of each connection at each moment, until some are to end. Returns
    /// these, and when that was.
    private func firstEnd(
        of numbers: [Int], milliseconds: Int = 1_000, unread: (Int, Int) -> Int
    ) -> (ended: Set<Int>, milliseconds: Int)? {
        var rotation = ConnectionRotation()
        for time in stride(from: 0, through: milliseconds, by: 10) {
            let ended = rotation.connectionsToEnd(
                numbers.map { .init(number: $0, unreadBytes: unread($0, time)) },
                at: MonotonicTime(nanoseconds: 0).adding(milliseconds: time))
            if !ended.isEmpty { return (ended, time) }
        }
        return nil
    }

    @Test("are none as long as nothing is unread") func idle() {
        #expect(firstEnd(of: [0, 1, 2]) { _, _ in 0 } == nil)
    }

    @Test("have replies that nobody reads for a while; then the one that is read ends")
    func stuck() throws {
        let end = try #require(firstEnd(of: [0, 1]) { number, _ in number == 1 ? 4112 : 0 })
        #expect(end.ended == [0])
        #expect(end.milliseconds == ConnectionRotation.patience)
    }

    @Test("are rotated until the last of them: all before it end, whether they are read or not")
    func severalStuck() throws {
        let end = try #require(
            firstEnd(of: [0, 1, 2, 3]) { number, _ in number % 3 == 0 ? 0 : 16 })
        #expect(end.ended == [0, 1])
    }

    @Test("need not all be unread for as long") func late() throws {
        let end = try #require(
            firstEnd(of: [0, 1, 2]) { number, time in time >= number * 50 && number > 0 ? 16 : 0 })
        #expect(end.ended == [0, 1])
        #expect(end.milliseconds == ConnectionRotation.patience + 50)
    }

    @Test("wait for a thread of their own if there is none before them") func first() {
        #expect(firstEnd(of: [0, 1]) { number, _ in number == 0 ? 16 : 0 } == nil)
    }

    @Test("are told by their age, not by their place") func order() throws {
        let end = try #require(firstEnd(of: [7, 1, 5]) { number, _ in number == 1 ? 0 : 16 })
        #expect(end.ended == [1, 5])
    }

    @Test("get more replies meanwhile, which changes nothing") func growing() throws {
        let end = try #require(
            firstEnd(of: [0, 1]) { number, time in number == 1 ? 16 + time : 0 })
        #expect(end.milliseconds == ConnectionRotation.patience)
    }

    @Test("are not those that are slowly read") func read() {
        #expect(firstEnd(of: [0, 1]) { number, time in number == 1 ? 4112 - time : 0 } == nil)
        #expect(firstEnd(of: [0, 1]) { _, time in time % 100 == 0 ? 0 : 4112 } == nil)
    }

    @Test("are left alone where there is no other") func single() {
        #expect(firstEnd(of: [3]) { _, _ in 16 } == nil)
    }

    @Test("get another rotation only after the same time again") func again() {
        var rotation = ConnectionRotation()
        var ends: [Int] = []
        for time in stride(from: 0, through: 400, by: 10) {
            let ended = rotation.connectionsToEnd(
                [.init(number: 0, unreadBytes: 0), .init(number: 1, unreadBytes: 16)],
                at: MonotonicTime(nanoseconds: 0).adding(milliseconds: time))
            if !ended.isEmpty { ends.append(time) }
        }
        #expect(ends == [150, 310])
    }

    @Test("give the kernel more time each time") func pauses() {
        #expect(
            [1, 2, 3, 7, 8, 50].map { ConnectionRotation.pause(after: $0) }
                == [100, 200, 400, 6_400, 10_000, 10_000])
    }
}

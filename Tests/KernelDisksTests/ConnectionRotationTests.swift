import LinuxIO
import Testing

@testable import KernelDisks

@Suite("Connections that the kernel does not read") struct ConnectionRotationTests {
    /// Samples the unread bytes of each connection every 10 ms until some must end. Returns these, and the time.
    private func firstEnd(
        of numbers: [Int], milliseconds: Int = 1_000, unread: (Int, Int) -> Int
    ) -> (ended: Set<Int>, milliseconds: Int)? {
        var rotation = ConnectionRotation()
        for time in stride(from: 0, through: milliseconds, by: 10) {
            let ended = rotation.connectionsToEnd(
                numbers.map { .init(adoptionOrder: $0, unreadBytes: unread($0, time)) },
                at: MonotonicTime(nanoseconds: 0).adding(milliseconds: time))
            if !ended.isEmpty { return (ended, time) }
        }
        return nil
    }

    @Test("are none as long as nothing is unread") func idle() {
        #expect(firstEnd(of: [0, 1, 2]) { _, _ in 0 } == nil)
    }

    @Test("have replies that stay unread for a while; then the connection that is read ends")
    func stuck() throws {
        let end = try #require(firstEnd(of: [0, 1]) { number, _ in number == 1 ? 4112 : 0 })
        #expect(end.ended == [0])
        #expect(end.milliseconds == ConnectionRotation.unreadTimeLimit)
    }

    @Test("are rotated until the last of them: all before it end, whether they are read or not")
    func severalStuck() throws {
        let end = try #require(
            firstEnd(of: [0, 1, 2, 3]) { number, _ in number % 3 == 0 ? 0 : 16 })
        #expect(end.ended == [0, 1])
    }

    @Test("need not all have been unread for the same time") func late() throws {
        let end = try #require(
            firstEnd(of: [0, 1, 2]) { number, time in time >= number * 50 && number > 0 ? 16 : 0 })
        #expect(end.ended == [0, 1])
        #expect(end.milliseconds == ConnectionRotation.unreadTimeLimit + 50)
    }

    @Test("wait for a worker thread of their own if no connection precedes them") func first() {
        #expect(firstEnd(of: [0, 1]) { number, _ in number == 0 ? 16 : 0 } == nil)
    }

    @Test("are ordered by adoption, not by place") func order() throws {
        let end = try #require(firstEnd(of: [7, 1, 5]) { number, _ in number == 1 ? 0 : 16 })
        #expect(end.ended == [1, 5])
    }

    @Test("may receive more replies meanwhile") func growing() throws {
        let end = try #require(
            firstEnd(of: [0, 1]) { number, time in number == 1 ? 16 + time : 0 })
        #expect(end.milliseconds == ConnectionRotation.unreadTimeLimit)
    }

    @Test("do not include those that are read slowly") func read() {
        #expect(firstEnd(of: [0, 1]) { number, time in number == 1 ? 4112 - time : 0 } == nil)
        #expect(firstEnd(of: [0, 1]) { _, time in time % 100 == 0 ? 0 : 4112 } == nil)
    }

    @Test("are left alone when there is only one") func single() {
        #expect(firstEnd(of: [3]) { _, _ in 16 } == nil)
    }

    @Test("are rotated again only after the same time limit") func again() {
        var rotation = ConnectionRotation()
        var ends: [Int] = []
        for time in stride(from: 0, through: 400, by: 10) {
            let ended = rotation.connectionsToEnd(
                [
                    .init(adoptionOrder: 0, unreadBytes: 0),
                    .init(adoptionOrder: 1, unreadBytes: 16),
                ],
                at: MonotonicTime(nanoseconds: 0).adding(milliseconds: time))
            if !ended.isEmpty { ends.append(time) }
        }
        #expect(ends == [150, 310])
    }

    @Test("leave the kernel more time after each rotation") func pauses() {
        #expect(
            [1, 2, 3, 7, 8, 50].map { ConnectionRotation.pause(after: $0) }
                == [100, 200, 400, 6_400, 10_000, 10_000])
    }
}

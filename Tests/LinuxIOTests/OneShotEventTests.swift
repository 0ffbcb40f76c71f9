import LinuxHost
import LinuxIO
import Testing

@Suite("An event that happens once")
struct OneShotEventTests {
    @Test("has happened for a thread that it wakes")
    func wakes() throws {
        // The thread is woken between two instructions of the one that signals, once in some hundred rounds.
        for _ in 0..<3_000 {
            let event = try OneShotEvent()
            try Thread(name: "signals") { event.signal() }.detach()
            #expect(event.wait(milliseconds: 20_000))
        }
    }

    @Test("has not happened when the time is up")
    func timeLimit() throws {
        #expect(try !OneShotEvent().wait(milliseconds: 1))
    }

    @Test("happens for the first that signals it, and stays")
    func first() throws {
        let event = try OneShotEvent()
        #expect(event.signal())
        #expect(!event.signal())
        #expect(event.wait(milliseconds: 0))
    }
}

import LinuxIO
import Synchronization
import Testing

@testable import ServerHost

@Suite("What a server has to remove")
struct CleanupStackTests {
    private let removed = Removed()

    /// The numbers of the things that were removed.
    private final class Removed: Sendable {
        private let state = Mutex<[Int]>([])

        var numbers: [Int] { state.withLock { $0 } }

        func append(_ number: Int) { state.withLock { $0.append(number) } }
    }

    private func note(_ numbers: Range<Int>, in stack: CleanupStack) {
        for number in numbers { stack.note { [removed] in removed.append(number) } }
    }

    @Test("is removed in reverse order, and once")
    func order() {
        let stack = CleanupStack()
        note(0..<3, in: stack)
        #expect(removed.numbers.isEmpty)
        stack.remove()
        #expect(removed.numbers == [2, 1, 0])
        stack.remove()
        #expect(removed.numbers == [2, 1, 0])
    }

    @Test("can be more after everything was removed")
    func again() {
        let stack = CleanupStack()
        note(0..<1, in: stack)
        stack.remove()
        note(1..<2, in: stack)
        stack.remove()
        #expect(removed.numbers == [0, 1])
    }

    @Test("is removed once when the thread of the start and that of the signals remove it")
    func threads() throws {
        let stack = CleanupStack()
        let threads = try (0..<4).map { thread in
            try Thread(name: "cleanup") { [removed] in
                for number in 0..<250 {
                    stack.note { removed.append(thread * 250 + number) }
                    if number % 10 == 0 { stack.remove() }
                }
            }
        }
        for thread in threads { thread.join() }
        stack.remove()
        #expect(removed.numbers.sorted() == Array(0..<1000))
    }
}

import Observability
import ProgramSupport
import Testing

@testable import RamdiskNBD

@Suite("The options of trace") struct TraceOptionTests {
    @Test("accept durations, ranges and commands")
    func arguments() {
        #expect(TimeSpan(argument: "100us")?.nanoseconds == 100_000)
        #expect(TimeSpan(argument: "5ms")?.nanoseconds == 5_000_000)
        #expect(TimeSpan(argument: "7ns")?.nanoseconds == 7)
        #expect(TimeSpan(argument: "1s")?.nanoseconds == 1_000_000_000)
        for wrong in ["", "s", "1", "1.5s", "-1s", "+1s", "1h", "99999999999999s"] {
            #expect(TimeSpan(argument: wrong) == nil, "\(wrong)")
        }
        #expect(ByteRange(argument: "1M-2M") == ByteRange(first: 1 << 20, last: 2 << 20))
        #expect(ByteRange(argument: "4K-") == ByteRange(first: 4096, last: nil))
        for wrong in ["", "-", "1", "2-1", "-5", "1-2-3", "x-y"] {
            #expect(ByteRange(argument: wrong) == nil, "\(wrong)")
        }
        #expect(CommandName(argument: "write-zeroes") == .writeZeroes)
        #expect(CommandName(argument: "erase") == nil)
    }
}

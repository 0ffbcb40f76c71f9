import Observability
import ProgramSupport
import Testing

@testable import RamdiskNBD

@Suite("The options of trace") struct TraceOptionTests {
    @Test("accept ranges and commands")
    func arguments() {
        #expect(ByteRange(argument: "1M-2M") == ByteRange(first: 1 << 20, last: 2 << 20))
        #expect(ByteRange(argument: "4K-") == ByteRange(first: 4096, last: nil))
        for wrong in ["", "-", "1", "2-1", "-5", "1-2-3", "x-y"] {
            #expect(ByteRange(argument: wrong) == nil, "\(wrong)")
        }
        #expect(CommandName(argument: "write-zeroes") == .writeZeroes)
        #expect(CommandName(argument: "erase") == nil)
    }
}

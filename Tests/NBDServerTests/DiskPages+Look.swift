// A disk's bytes, for tests to look at.

import LinuxIO
import SystemPackage

@testable import NBDServer

extension DiskPages {
    /// What a read would be answered with, as far as it lies in one piece; the claim is gone already.
    func look(at offset: UInt64, count: UInt64) -> MemoryRegion {
        // Only want of memory makes it fail.
        guard var claims = try? ReadPins(claims) else { fatalError("no memory") }
        return readable(at: offset, count: count, claims: &claims)
    }
}

public import SystemPackage

/// Why a disk could not be made; its description is one sentence for people.
public enum RamDiskError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Smaller than a page, or larger than clients can be told. Size in bytes.
    case sizeOutOfRange(UInt64)
    /// The machine, or the control group, has less memory left than the disk is large. In bytes.
    case notEnoughMemory(size: UInt64, available: UInt64)
    /// The kernel refused the memory. Size in bytes.
    case cannotAllocate(size: UInt64, Errno)
    /// The machine's pool of reserved large pages has too few. Size in bytes; the rest in pages.
    case reservedPages(size: UInt64, needed: Int, free: Int)

    /// What was asked for, why it is not to be had, and what to do.
    public var description: String {
        switch self {
        case .sizeOutOfRange(let size):
            "a disk of \(size.bytesText) cannot be made: sizes go from "
                + "\(RamDisk.smallestSize.bytesText) to \(RamDisk.largestSize.bytesText)"
        case .notEnoughMemory(let size, let available):
            "not enough memory for a disk of \(size.bytesText): \(available.bytesText) are available; "
                + "choose a smaller size, or a sparse disk, which takes memory only as it is written"
        case .cannotAllocate(let size, let error):
            "the kernel refused the memory for a disk of \(size.bytesText): \(error)"
        case .reservedPages(let size, let needed, let free):
            "too few reserved huge pages for a disk of \(size.bytesText): it needs \(needed), and "
                + "\(free) are free; reserve more as root with "
                + "sysctl vm.nr_hugepages=N"
        }
    }
}

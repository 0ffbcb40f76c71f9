internal import LinuxIO

/// A list of CPUs and ranges of CPUs: `0`, `0,2-3`. Each CPU occurs once, in the order given.
package struct ProcessorList: Sendable, Equatable {
    /// The CPUs, at least one.
    package let numbers: [Int]

    package init?(parsing argument: String) {
        var numbers: [Int] = []
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false)
                .map(Self.number)
            guard (1...2).contains(ends.count), let first = ends[0],
                let last = ends[ends.count - 1],
                first <= last
            else { return nil }
            numbers += (first...last).filter { !numbers.contains($0) }
        }
        self.numbers = numbers
    }

    private static func number(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = Int(text), number < Processor.maximumCount
        else { return nil }
        return number
    }
}

import Foundation

/// The address sanitizer's count of the bytes that malloc(3) has given out.
@_silgen_name("__sanitizer_get_current_allocated_bytes")
private func allocatedBytes() -> Int

/// A watch over the descriptors and the memory of this process, which must not grow with the number of inputs.
struct LeakWatch {
    /// Number of inputs between two looks.
    private static let interval = 512
    /// Descriptors that may come late: connections that end, threads of libraries.
    private static let descriptorRoom = 24
    /// Bytes that may come late. libFuzzer's own corpus is among them.
    private static let memoryRoom = 192 << 20
    /// Seconds that the server gets to end what inputs have left.
    private static let patience = 10.0

    private var inputs = 0
    private var first: (descriptors: Int, bytes: Int)?

    /// To be called after each input.
    mutating func inputIsOver() {
        inputs += 1
        guard inputs % Self.interval == 0 else { return }
        guard let first else {
            first = (Self.descriptors, allocatedBytes())
            return
        }
        let deadline = Date().addingTimeInterval(Self.patience)
        while Self.descriptors > first.descriptors + Self.descriptorRoom, Date() < deadline {
            Thread.sleep(forTimeInterval: 0.1)
        }
        let descriptors = Self.descriptors
        precondition(
            descriptors <= first.descriptors + Self.descriptorRoom,
            "\(descriptors) descriptors after \(inputs) inputs, \(first.descriptors) at first")
        let bytes = allocatedBytes()
        precondition(
            bytes <= first.bytes + Self.memoryRoom,
            "\(bytes) bytes after \(inputs) inputs, \(first.bytes) at first")
    }

    private static var descriptors: Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd"))?.count ?? 0
    }
}

// How much memory this process has in RAM.

/// Memory of this process.
public enum ResidentMemory {
    /// Bytes that are in RAM now, shared ones too; 0 when the kernel does not tell. proc(5), `VmRSS`
    public static var bytes: UInt64 {
        for line in (TextFile.read("/proc/self/status") ?? "").split(separator: "\n")
        where line.hasPrefix("VmRSS:") {
            let number = line.split { $0 == " " || $0 == "\t" }.dropFirst().first
            return number.flatMap { UInt64($0) }.map { $0 << 10 } ?? 0
        }
        return 0
    }
}

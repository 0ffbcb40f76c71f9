// How much memory can be taken before something else is pushed out or killed.

/// Memory of the machine and of the control group this process lives in.
public enum AvailableMemory {
    /// Bytes that can be taken now: `MemAvailable` of /proc/meminfo, or what the control group has
    /// left when that is less. Nil when the kernel does not tell.
    public static var bytes: Int? {
        let machine = meminfo(TextFile.read("/proc/meminfo") ?? "")
        let group = groupRemainder(
            limit: TextFile.read("/sys/fs/cgroup/memory.max") ?? "",
            used: TextFile.read("/sys/fs/cgroup/memory.current") ?? "")
        guard let machine else { return group }
        return min(machine, group ?? .max)
    }

    /// `MemAvailable` in bytes, out of the text of /proc/meminfo, which counts in KiB.
    static func meminfo(_ text: String) -> Int? {
        for line in text.split(separator: "\n") where line.hasPrefix("MemAvailable:") {
            let number = line.split(separator: " ").dropFirst().first
            return number.flatMap { Int($0) }.map { $0 << 10 }
        }
        return nil
    }

    /// What a control group has left; nil when it has no limit.
    static func groupRemainder(limit: String, used: String) -> Int? {
        guard let limit = Int(limit.filter(\.isNumber)), let used = Int(used.filter(\.isNumber))
        else { return nil }
        return max(0, limit - used)
    }
}

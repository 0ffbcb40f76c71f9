/// Memory of the machine and of the control group this process lives in.
public enum AvailableMemory {
    /// Bytes that can be taken now: `MemAvailable` of /proc/meminfo, or what the control group has
    /// left when that is less. Nil when the kernel does not tell.
    public static var bytes: Int? {
        let machine = meminfo(TextFile.read("/proc/meminfo") ?? "")
        let groups = groupDirectories(TextFile.read("/proc/self/cgroup") ?? "").compactMap {
            group in
            groupRemainder(
                limit: TextFile.read("\(group)/memory.max") ?? "",
                used: TextFile.read("\(group)/memory.current") ?? "",
                statistics: TextFile.read("\(group)/memory.stat") ?? "")
        }
        return (groups + [machine].compactMap(\.self)).min()
    }

    /// The control groups this process is in, out of the text of /proc/self/cgroup: its own, and those
    /// around it up to the root of what it can see. cgroups(7), version 2
    static func groupDirectories(_ text: String) -> [String] {
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("0::/") }) else {
            return ["/sys/fs/cgroup"]
        }
        var parts = line.dropFirst(3).split(separator: "/")
        var directories: [String] = []
        while true {
            directories.append((["/sys/fs/cgroup"] + parts.map(String.init)).joined(separator: "/"))
            guard parts.popLast() != nil else { return directories }
        }
    }

    /// `MemAvailable` in bytes, out of the text of /proc/meminfo, which counts in KiB.
    static func meminfo(_ text: String) -> Int? {
        for line in text.split(separator: "\n") where line.hasPrefix("MemAvailable:") {
            let number = line.split(separator: " ").dropFirst().first
            return number.flatMap { Int($0) }.map { $0 << 10 }
        }
        return nil
    }

    /// What a control group has left, with the file pages that it can do without; nil when it has no
    /// limit.
    static func groupRemainder(limit: String, used: String, statistics: String) -> Int? {
        guard let limit = Int(limit.filter(\.isNumber)), let used = Int(used.filter(\.isNumber))
        else { return nil }
        let inactive = statistics.split(separator: "\n").first { $0.hasPrefix("inactive_file ") }
        let spare = inactive.flatMap { Int($0.split(separator: " ")[1]) } ?? 0
        return max(0, limit - used + spare)
    }
}

/// The memory that the machine and this process's control group have left.
public enum AvailableMemory {
    /// Bytes that can be allocated now: `MemAvailable` of /proc/meminfo, or what the control group has
    /// left when that is less. Nil when the kernel reports neither.
    public static var bytes: Int? { bytes(below: "") }

    /// The same, for files below a directory that stands for the root directory.
    package static func bytes(below root: String) -> Int? {
        let machine = meminfo(TextFile.read("\(root)/proc/meminfo") ?? "")
        let groups = groupDirectories(TextFile.read("\(root)/proc/self/cgroup") ?? "").compactMap {
            group in
            groupRemainder(
                limit: TextFile.read("\(root)\(group)/memory.max") ?? "",
                used: TextFile.read("\(root)\(group)/memory.current") ?? "",
                statistics: TextFile.read("\(root)\(group)/memory.stat") ?? "")
        }
        return (groups + [machine].compactMap(\.self)).min()
    }

    /// Returns the directories of the control groups that this process is in, from the text of
    /// /proc/self/cgroup: its own group, and those around it up to the root that it can see.
    /// cgroups(7), version 2
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

    /// Returns `MemAvailable` in bytes, from the text of /proc/meminfo.
    static func meminfo(_ text: String) -> Int? { ProcFields(text).bytes(ofKiB: "MemAvailable") }

    /// Returns the bytes that a control group has left, counting the file pages that the kernel can
    /// reclaim as free; nil when the group has no limit.
    static func groupRemainder(limit: String, used: String, statistics: String) -> Int? {
        guard let limit = Int(limit.filter(\.isNumber)), let used = Int(used.filter(\.isNumber))
        else { return nil }
        let reclaimable = ProcFields(statistics)["inactive_file"].flatMap { Int($0) } ?? 0
        return max(0, limit - used + reclaimable)
    }
}

/// The pool of reserved huge pages, `hugetlb`. /proc/sys/vm/nr_hugepages sets its size.
public enum ReservedPages {
    /// Bytes in a page of the pool; nil when the kernel has no pool. `Hugepagesize` of /proc/meminfo
    public static var size: Int? { meminfo.bytes(ofKiB: "Hugepagesize") }

    /// Free pages that no mapping has reserved. `HugePages_Free` less `HugePages_Rsvd`
    public static var free: Int {
        let fields = meminfo
        func count(_ name: String) -> Int { fields[name].flatMap { Int($0) } ?? 0 }
        return max(0, count("HugePages_Free") - count("HugePages_Rsvd"))
    }

    /// The directory in which files of such pages can be made: the first hugetlbfs whose pages have
    /// ``size`` bytes. Nil when none is mounted.
    public static var mountPoint: String? { mountPoint(in: Mount.all, pageSize: size ?? 0) }

    /// Returns the mount point of the first suitable hugetlbfs. A mount without the option `pagesize` has
    /// pages of the default size.
    static func mountPoint(in mounts: [Mount], pageSize: Int) -> String? {
        mounts.first { mount in
            guard mount.type == "hugetlbfs" else { return false }
            let option = mount.options.split(separator: ",").first { $0.hasPrefix("pagesize=") }
            return option.map { $0 == "pagesize=\(pageSize >> 20)M" } ?? true
        }?.point
    }

    private static var meminfo: ProcFields { ProcFields(path: "/proc/meminfo") }
}

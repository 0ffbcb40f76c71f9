internal import Glibc

/// The pool of reserved large pages. `hugetlb`; `/proc/sys/vm/nr_hugepages` says how many it has.
public enum ReservedPages {
    /// Bytes in a page of the pool; nil where the kernel has none. `Hugepagesize` of /proc/meminfo
    public static var size: Int? { figure("Hugepagesize:", meminfo).map { $0 << 10 } }

    /// Pages that are free and promised to nobody. `HugePages_Free` less `HugePages_Rsvd`
    public static var free: Int {
        let text = meminfo
        return max(
            0, (figure("HugePages_Free:", text) ?? 0) - (figure("HugePages_Rsvd:", text) ?? 0))
    }

    /// Where files in such pages can be made: the first hugetlbfs whose pages are of ``size``; nil
    /// when none is mounted. proc_mounts(5)
    public static var mountPoint: String? {
        mountPoint(in: TextFile.read("/proc/self/mounts") ?? "", pageSize: size ?? 0)
    }

    /// The same, out of the text of /proc/self/mounts.
    static func mountPoint(in text: String, pageSize: Int) -> String? {
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 3, fields[2] == "hugetlbfs" else { continue }
            let told = fields[3].split(separator: ",").first { $0.hasPrefix("pagesize=") }
            if told.map({ $0 == "pagesize=\(pageSize >> 20)M" }) ?? true {
                return String(fields[1])
            }
        }
        return nil
    }

    private static var meminfo: String { TextFile.read("/proc/meminfo") ?? "" }

    private static func figure(_ name: String, _ text: String) -> Int? {
        for line in text.split(separator: "\n") where line.hasPrefix(name) {
            return line.split(separator: " ").dropFirst().first.flatMap { Int($0) }
        }
        return nil
    }
}

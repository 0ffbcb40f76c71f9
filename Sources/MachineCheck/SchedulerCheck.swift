extension Machine {
    /// A finding about the kernel's scheduling of sessions (autogroups) and control groups; nil when nothing is wrong,
    /// or when sessions are not scheduled as groups.
    ///
    /// From Linux 6.13 on, a group whose threads wake one another on several processors could gain time whenever the
    /// kernel changed its weight, so that a process of another group waited for seconds. Linux 7.0 and 6.18.45 have the
    /// fix: upstream commit 101f3498b4bd, "sched/fair: Revert 6d71a9c61604". docs/internals/performance-log.md has the
    /// measurements.
    var scheduler: Finding? {
        guard hasUnfairGroups, line("/proc/sys/kernel/sched_autogroup_enabled") == "1" else {
            return nil
        }
        return .optional(
            "scheduler", "unfair between sessions; fixed in Linux 6.18.45",
            remedy: "sysctl kernel.sched_autogroup_enabled=0")
    }

    private var hasUnfairGroups: Bool {
        let numbers = kernelRelease.split { !$0.isNumber }.prefix(3).compactMap { Int($0) }
        guard numbers.count == 3, numbers[0] == 6 else { return false }
        return switch numbers[1] {
        case 13...17, 19: true
        case 18: numbers[2] < 45
        default: false
        }
    }
}

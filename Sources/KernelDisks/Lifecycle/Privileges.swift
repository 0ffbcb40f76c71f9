internal import LinuxIO

enum Privileges {
    /// The bit of the capability that the driver requires. capabilities(7), `CAP_SYS_ADMIN`
    private static let administration: UInt64 = 21

    /// Whether this process may attach devices and mount. proc(5), `CapEff`
    static var canAdminister: Bool {
        guard let word = ProcFields(path: "/proc/self/status")["CapEff"],
            let capabilities = UInt64(word, radix: 16)
        else { return true }
        return capabilities & 1 << administration != 0
    }
}

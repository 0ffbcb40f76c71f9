internal import LinuxIO

package enum Privileges {
    /// The bit of the capability that the driver requires. capabilities(7), `CAP_SYS_ADMIN`
    private static let administration: UInt64 = 21

    /// Whether this process may attach devices and mount. proc(5), `CapEff`
    package static var canAdminister: Bool {
        let lines = (TextFile.read("/proc/self/status") ?? "").split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("CapEff:") }),
            let word = line.split(whereSeparator: { $0 == "\t" || $0 == " " }).last,
            let capabilities = UInt64(word, radix: 16)
        else { return true }
        return capabilities & 1 << administration != 0
    }
}

// Numbers of bytes in sentences.

extension UInt64 {
    /// So many bytes, for people and to the byte: `101.6 GiB (109080000000 bytes)`. What is behind the tenths
    /// is left out, so that it never sounds like more than it is.
    package var bytesText: String {
        guard self >= 1024 else { return "\(self) bytes" }
        let names = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        let step = (bitWidth - leadingZeroBitCount - 1) / 10
        // Tenths of the unit, from what is left of 1024ths.
        let tenths = (self >> UInt64(10 * (step - 1))) % 1024 * 10 / 1024
        let whole = self >> UInt64(10 * step)
        return "\(whole)\(tenths > 0 ? ".\(tenths)" : "") \(names[step - 1]) (\(self) bytes)"
    }
}

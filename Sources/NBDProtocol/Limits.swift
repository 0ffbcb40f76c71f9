/// What a peer may ask for before the answer is no. Sizes in bytes.
public enum Limits {
    /// Length of a name or other string (specification: "Conventions").
    public static var stringLength: Int { 4096 }

    /// Options in one handshake with a server of so many exports. Clients that use one send under ten;
    /// one that lists all (`qemu-nbd --list`) asks twice about each. A client that sends more than this
    /// is not negotiating.
    public static func optionCount(exports: Int) -> Int { 32 + 2 * exports }

    /// Option data that is kept and looked at. The longest option that means something is a GO with
    /// a name of 4096 bytes and a few information types; contexts come to a few strings more.
    public static var optionDataKept: Int { 64 << 10 }

    /// Option data that is read and thrown away so that the connection can go on. Above it the
    /// connection ends: reading gigabytes to be polite helps nobody.
    public static var optionDataDrained: Int { 32 << 20 }

    /// Data of an option reply that a client reads: a listing of two strings, or an error's text.
    public static var optionReplyData: Int { 64 << 10 }

    /// Option replies that a client takes in one handshake; a list has one for each export.
    public static var optionReplyCount: Int { 10_000 }

    /// Largest payload that is advertised: what the specification wants every server to take ("Size
    /// constraints").
    public static var advertisedPayload: UInt64 { 32 << 20 }

    /// Largest payload of one READ or WRITE that is served. It is more than what is advertised for
    /// clients that never ask; others take as much (nbdkit) or have no limit (nbd-server).
    public static var maximumPayload: UInt64 { 2 * advertisedPayload }

    /// Largest WRITE payload that is drained and refused with EINVAL. A longer one ends the
    /// connection.
    public static var drainedPayload: UInt64 { 2 * maximumPayload }

    /// Block size that is best: a page, as the kernel's own RAM disks have it.
    public static var preferredBlockSize: UInt32 { 4096 }

    /// Smallest block size: nbd-client never asks, and sends 512-byte sectors unless it is told.
    public static var minimumBlockSize: UInt32 { 1 }
}

/// The limits of the protocol engine, each with its reason. Sizes are in bytes.
public enum Limits {
    /// Length of a name or other string (NBD specification, Conventions).
    public static var stringLength: Int { 4096 }

    /// Options in one handshake with a server of this many exports. A client that opens one export
    /// sends fewer than ten; one that lists all exports (`qemu-nbd --list`) sends two options for
    /// each. A client that sends more is not negotiating.
    public static func optionCount(exports: Int) -> Int { 32 + 2 * exports }

    /// Option data that the server keeps and decodes. The longest meaningful option is a GO with a
    /// name of 4096 bytes and a few information types; requests for contexts add a few strings.
    public static var optionDataKept: Int { 64 << 10 }

    /// Option data that the server reads and discards so that the connection can continue. More ends the connection:
    /// reading gigabytes only to send an error helps no client.
    public static var optionDataDrained: Int { 32 << 20 }

    /// Data of an option reply that a client reads: a listing of two strings, or an error's text.
    public static var optionReplyData: Int { 64 << 10 }

    /// Contexts that one export offers, and so the most that a session selects. A reply to BLOCK_STATUS has a
    /// list of extents for each: with 8, each has 128 KiB of the 1 MiB that a server keeps for them, and a set
    /// of contexts is a byte.
    public static var contextCount: Int { 8 }

    /// Option replies that a client accepts in one handshake. A list has one for each export.
    public static var optionReplyCount: Int { 10_000 }

    /// Largest payload that the server advertises: the size that the specification asks every server
    /// to support (NBD specification, Size constraints).
    public static var advertisedPayload: UInt64 { 32 << 20 }

    /// Largest payload of one READ or WRITE that the server accepts. It is larger than the advertised
    /// one for clients that never ask; other servers accept the same (nbdkit) or have no limit
    /// (nbd-server).
    public static var maximumPayload: UInt64 { 2 * advertisedPayload }

    /// Largest WRITE payload that the server reads and discards before it replies with EINVAL. A
    /// longer one ends the connection.
    public static var drainedPayload: UInt64 { 2 * maximumPayload }

    /// Preferred block size: a page, as for the kernel's own RAM disks.
    public static var preferredBlockSize: UInt32 { 4096 }

    /// Smallest block size. nbd-client never asks for it, and sends 512-byte sectors by default.
    public static var minimumBlockSize: UInt32 { 1 }
}

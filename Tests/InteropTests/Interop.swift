import Testing

/// Their programs are fast, and a machine may be small: one test at a time.
@Suite("The server and programs that others wrote", .serialized, .timeLimit(.minutes(2)))
enum Interop {}

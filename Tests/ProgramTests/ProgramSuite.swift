import Testing

/// Servers come and go quickly, and a machine may be small: one test at a time.
@Suite("The program as a process", .serialized, .timeLimit(.minutes(1)))
enum ProgramSuite {}

import Testing

/// One test at a time, since a machine may be small and each test starts servers.
@Suite("The program as a process", .serialized, .timeLimit(.minutes(1)))
enum ProgramSuite {}

// What the program tells while it runs.

internal import ArgumentParser
internal import Logging

struct LogOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "What to log on standard error.", valueName: "level"))
    var logLevel = LogLevel.info

    /// A logger as the options want it.
    var logger: Logger { Self.logger(logLevel) }

    /// A logger that writes what is of a level or above.
    static func logger(_ level: LogLevel) -> Logger {
        var logger = Logger(label: "ramdisk-nbd") { StandardErrorLog(label: $0) }
        logger.logLevel = level.level
        return logger
    }
}

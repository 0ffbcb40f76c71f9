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
    var logger: Logger {
        var logger = Logger(label: "ramdisk-nbd") { StandardErrorLog(label: $0) }
        logger.logLevel = logLevel.level
        return logger
    }
}

// What the program tells while it runs.

internal import ServerHost
internal import ArgumentParser
internal import Logging

extension LogFormat: ExpressibleByArgument {}

struct LogOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "What to log on standard error.", valueName: "level"))
    var logLevel = LogLevel.info

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            How to write log lines: text for people, json for programs, journal for systemd (with the \
            priority, without the time). (default: journal where standard error leads there, else text)
            """, valueName: "format"))
    var logFormat: LogFormat?

    /// The same for a command that does something once: no news is good news.
    var quietLogger: Logger {
        var logger = logger
        logger.logLevel = max(logLevel.level, logLevel == .info ? .warning : .trace)
        return logger
    }

    /// A logger as the options want it.
    var logger: Logger { Self.logger(logLevel, logFormat) }

    /// A logger that writes what is of a level or above.
    static func logger(_ level: LogLevel, _ format: LogFormat? = nil) -> Logger {
        let format = format ?? (StandardErrorLog.leadsToJournal ? .journal : .text)
        var logger = Logger(label: "ramdisk-nbd") { _ in StandardErrorLog(format: format) }
        logger.logLevel = level.level
        return logger
    }
}

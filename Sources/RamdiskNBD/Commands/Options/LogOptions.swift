internal import ServerHost
internal import ArgumentParser
internal import Logging

extension LogFormat: ExpressibleByArgument {}

/// The level and the format of log lines.
struct LogOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Lowest level to log on standard error.", valueName: "level"))
    var logLevel = Logger.Level.info

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Format of log lines: text, json, or journal for systemd (with the priority and without \
            the time). (default: journal if standard error is connected to it, else text)
            """, valueName: "format"))
    var logFormat: LogFormat?

    /// A logger for a command that does one thing. It prints warnings only, unless another level is given.
    var quietLogger: Logger {
        var logger = logger
        logger.logLevel = logLevel == .info ? .warning : logLevel
        return logger
    }

    /// A logger with these options.
    var logger: Logger { Self.logger(logLevel, logFormat) }

    /// A logger that writes lines of a level and above.
    static func logger(_ level: Logger.Level, _ format: LogFormat? = nil) -> Logger {
        let format = format ?? (StandardErrorLog.leadsToJournal ? .journal : .text)
        var logger = Logger(label: "ramdisk-nbd") { _ in StandardErrorLog(format: format) }
        logger.logLevel = level
        return logger
    }
}

internal import ProgramSupport
internal import Logging
internal import NBDServer

extension TLSContext {
    /// Reads the credentials. Throws a failure that says which file is unusable and why.
    static func make(_ configuration: TLSConfiguration, logger: Logger) throws(Failure)
        -> TLSContext
    {
        let context: TLSContext
        do throws(TLSFailure) {
            context = try TLSContext(configuration)
        } catch {
            let hint = "; \"ramdisk-nbd tls init DIR\" makes what is needed"
            throw .noInput("\(error)" + (error.missingFile == nil ? "" : hint))
        }
        for warning in context.warnings { logger.warning("\(warning)") }
        return context
    }
}

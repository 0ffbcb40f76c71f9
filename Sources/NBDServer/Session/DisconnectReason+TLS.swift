// The end of an encrypted connection.

extension DisconnectReason {
    /// Milliseconds that a client has to take the word that there is no more to come.
    private static var patience: Int { 500 }

    /// Ends TLS as the specification wants it ("Terminating the transmission phase"), unless there is
    /// nobody to tell; and says what was the matter if TLS was.
    consuming func closing(_ stream: TLSStream) -> DisconnectReason {
        switch self {
        case .tls, .stalled, .handshakeTimeout: return self
        case .failed(let error):
            switch stream.end(after: error) {
            case .closed:
                stream.close(milliseconds: Self.patience)
                return .closed
            case .broken(let failure): return .tls(failure)
            case .failed: return self
            }
        default:
            stream.close(milliseconds: Self.patience)
            return self
        }
    }
}

internal import Synchronization

/// The phases of a connection, and who moves it on: its thread, but for one that the acceptor closes.
enum ConnectionPhase: UInt8, AtomicRepresentable {
    /// It has not chosen an export yet, and takes up no place of those that are served.
    case handshake
    /// It has a place.
    case serving
    /// The acceptor has closed it in the handshake, to make room for another.
    case evicted
    /// Its thread is done, or as good as.
    case ended
}

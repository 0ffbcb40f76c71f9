package import DiskContents
package import NBDServer
package import ProgramSupport
internal import Synchronization

/// Contents that disks are clones of. They are read once, for all of these disks.
package final class Template: Sendable {
    private let read: @Sendable () throws(Failure) -> DiskTemplate
    private let made = Mutex<DiskTemplate?>(nil)

    /// The contents of a regular file.
    package init(path: String) {
        read = { () throws(Failure) -> DiskTemplate in
            do throws(RamDisk.LoadError) {
                return try DiskTemplate(path: path)
            } catch {
                throw .noInput("\(error)")
            }
        }
    }

    /// The contents of a disk that another server sends.
    ///
    /// - Parameter receive: asks that server.
    package init(receiving receive: @escaping @Sendable () throws(Failure) -> ReceivedDisk) {
        read = { () throws(Failure) -> DiskTemplate in try receive().makeTemplate() }
    }

    /// Returns the template. The first call reads the contents.
    package func template() throws(Failure) -> DiskTemplate {
        try made.withLock { (made) throws(Failure) in
            if let made { return made }
            let template = try read()
            made = template
            return template
        }
    }
}

internal import NBDServer
internal import ProgramSupport
internal import Synchronization

/// A file with the contents of a template. It is read once, for all disks that are clones of it.
package final class TemplateFile: Sendable {
    private let path: String
    private let made = Mutex<DiskTemplate?>(nil)

    package init(path: String) { self.path = path }

    /// Returns the template. The first call reads the file.
    func template() throws(Failure) -> DiskTemplate {
        try made.withLock { (made) throws(Failure) in
            if let made { return made }
            do throws(RamDisk.LoadError) {
                let template = try DiskTemplate(path: path)
                made = template
                return template
            } catch {
                throw .noInput("\(error)")
            }
        }
    }
}

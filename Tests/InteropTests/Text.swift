import Foundation

extension String {
    /// How often a text is in this one.
    func count(of text: String) -> Int { components(separatedBy: text).count - 1 }
}

/// The bytes of a file.
func contents(of path: String) throws -> Data {
    try Data(contentsOf: URL(filePath: path))
}

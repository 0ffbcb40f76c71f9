/// Returns a text as one word for a POSIX shell, quoted where that is needed.
package func shellWord(_ text: String) -> String {
    let isPlain = text.utf8.allSatisfy { byte in
        let character = Character(UnicodeScalar(byte))
        return byte < 0x80
            && (character.isLetter || character.isNumber || "-_./:@%+=,".contains(character))
    }
    return isPlain && !text.isEmpty
        ? text
        : "'"
            + text.split(separator: "'", omittingEmptySubsequences: false)
            .joined(separator: #"'\''"#) + "'"
}

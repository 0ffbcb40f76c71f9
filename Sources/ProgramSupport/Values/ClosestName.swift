/// Returns the name that the given one probably misspells; nil when none is close.
package func closestName(to name: String, among names: [String]) -> String? {
    let close = names.map { (name: $0, distance: distance($0, name)) }
    return close.filter { $0.distance <= min(2, $0.name.count - 1) }
        .min { $0.distance < $1.distance }?.name
}

/// Returns the Levenshtein distance of two texts.
private func distance(_ one: String, _ other: String) -> Int {
    var row = Array(0...other.count)
    for (line, letter) in one.enumerated() {
        var diagonal = row[0]
        row[0] = line + 1
        for (column, match) in other.enumerated() {
            let substitute = diagonal + (letter == match ? 0 : 1)
            diagonal = row[column + 1]
            row[column + 1] = min(substitute, row[column] + 1, diagonal + 1)
        }
    }
    return row[other.count]
}

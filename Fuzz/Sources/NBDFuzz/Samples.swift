/// Text with numbers that an input replaces.
struct Sample {
    /// The text in pieces: numbers are at the odd indices.
    private let pieces: [String]

    /// The replacements for the numbers: values that a counter, a time or an index should not have.
    private static let extremes = [
        "18446744073709551615", "9223372036854775807", "-1", "1e300", "0", "9223372036854775808",
        "1e19", "4294967296",
    ]

    /// Cuts text at the numbers that are not part of a string.
    init(_ text: String) {
        var pieces = [""]
        var isInString = false
        for character in text {
            if character == "\"" { isInString.toggle() }
            let isOfNumber = !isInString && (character.isNumber || "-.".contains(character))
            if isOfNumber == pieces.count.isMultiple(of: 2) {
                pieces[pieces.count - 1].append(character)
            } else {
                pieces.append(String(character))
            }
        }
        self.pieces = pieces
    }

    /// Returns the text with some numbers replaced.
    func text(_ script: inout Script) -> String {
        var result = pieces
        while !script.isOver {
            let index = Int(script.byte()) % (pieces.count / 2) * 2 + 1
            let choice = script.byte()
            result[index] =
                choice < 0xf0
                ? Self.extremes[Int(choice & 7)] : "\(script.wide() >> UInt64(choice & 15))"
        }
        return result.joined()
    }
}

extension Sample {
    /// The response to `GET /stats`, with one of everything.
    static let statistics = Sample(
        #"""
        {"server": {"version": "0.1.0", "pid": 7, "uptimeSeconds": 100.5, "monotonicNanoseconds":
        1000000000, "isCounting": true, "addresses": ["nbd://localhost"], "residentBytes": 4096,
        "openConnections": 1, "maximumConnections": 128, "acceptedConnections": 1, "refusedConnections":
        0, "violations": 0, "traceReaders": 0, "activity": {"commands": [{"command": "read", "requests":
        9, "bytes": 4096, "errors": 1, "latency": {"buckets": [{"index": 3, "belowNanoseconds": 4,
        "count": 7}, {"index": 90, "belowNanoseconds": 5, "count": 2}], "count": 9, "sumNanoseconds":
        900}}, {"command": "trim", "requests": 9, "bytes": 4096, "errors": 1, "latency": {"buckets":
        [{"index": 3, "belowNanoseconds": 4, "count": 7}, {"index": 90, "belowNanoseconds": 5, "count":
        2}], "count": 9, "sumNanoseconds": 900}}], "errors": [{"error": "EINVAL", "requests": 1}],
        "batches": {"count": 3, "requests": 9, "bySize": [1, 2]}, "polling": {"hits": 1, "sleeps": 2}}},
        "disks": [{"export": "", "sizeBytes": 65536, "residentBytes": 4096, "isSparse": true,
        "isReadOnly": false, "isLocked": false, "openConnections": 1, "activity": {"commands": [],
        "errors": [], "batches": {"count": 0, "requests": 0, "bySize": []}, "polling": {"hits": 0,
        "sleeps": 0}}}, {"export": "b", "sizeBytes": 65536, "residentBytes": 4096, "isSparse": true,
        "isReadOnly": false, "isLocked": false, "openConnections": 1, "activity": {"commands": [],
        "errors": [], "batches": {"count": 0, "requests": 0, "bySize": []}, "polling": {"hits": 0,
        "sleeps": 0}}}], "connections": [{"number": 1, "client": "127.0.0.1:2", "export": "", "isTLS":
        false, "openSeconds": 1.5, "mappedBytes": 4096, "activity": {"commands": [], "errors": [],
        "batches": {"count": 0, "requests": 0, "bySize": []}, "polling": {"hits": 0, "sleeps": 0}}}],
        "saves": [{"export": "", "image": "/image", "intervalSeconds": 5.0, "generation": 1,
        "savedUnixSeconds": 1.5, "writtenBytes": 1, "seconds": 0.5, "dirtyBytes": 0, "saves": 1,
        "failures": 1, "error": "no space"}], "snapshots": [{"disk": "", "name": "a", "export": "@a",
        "createdUnixSeconds": 1.5, "sizeBytes": 65536, "isLost": false, "openConnections": 0,
        "preservedBytes": 4096}]}
        """#)

    /// A trace.
    static let trace = Sample(
        #"""
        {"type": "start", "startUnixSeconds": 1.5, "startMonotonicNanoseconds": 9, "pid": 7, \#
        "version": "0.1.0"}
        {"type": "request", "timeNanoseconds": 10, "connection": 1, "export": "", "command": "read", \#
        "offset": 4096, "lengthBytes": 4096, "flags": ["fua", "0x40"], "durationNanoseconds": 900}
        {"type": "request", "timeNanoseconds": 10, "connection": 1, "export": "", "command": "read", \#
        "offset": 4096, "lengthBytes": 4096, "flags": ["fua", "0x40"], "durationNanoseconds": 900}
        {"type": "request", "timeNanoseconds": 10, "connection": 1, "export": "disk", "command": \#
        "write", "offset": 4096, "lengthBytes": 4096, "flags": ["fua", "0x40"], "durationNanoseconds": \#
        900, "error": "EINVAL"}
        {"type": "status", "timeNanoseconds": 99, "toldRequests": 1, "droppedRequests": 3}
        {"type": "end", "timeNanoseconds": 99, "toldRequests": 1, "droppedRequests": 3}
        {"type": "end", "timeNanoseconds": 99, "toldRequests": 1, "droppedRequests": 3}

        """#)
}

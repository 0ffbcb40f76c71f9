# Prints the kernel's and the server's times of each request side by side. The first file is the output of the function
# graph tracer with the clock "mono", the second that of `ramdisk-nbd trace --json`, whose first line has its start on
# the same clock. Variable: device (such as "43,0").

# The kernel's half: 3.816637 | 1) ... /* block_rq_issue: 43,0 WS 65536 () 65536 + 128 [...] */
FNR == NR && index($0, "block_rq_issue: " device " ") {
    split(after("block_rq_issue: " device " "), word, " ")
    add_issue(word[1], word[4], word[6], $1 * 1000000)
}
# 3.838117 | 1) ... /* block_rq_complete: 43,0 WS () 65536 + 128 [0] */
FNR == NR && index($0, "block_rq_complete: " device " ") {
    split(after("block_rq_complete: " device " "), word, " ")
    key = name_of(word[1], word[3], word[5])
    for (i = 1; i <= requests; i++)
        if (keys[i] == key && !(i in completed)) {
            completed[i] = $1 * 1000000
            break
        }
}

# The server's half.
FNR != NR && /"type": *"start"/ { start = value("startMonotonicNanoseconds") / 1000 }
FNR != NR && /"type": *"request"/ {
    key = value("command") " " value("offset") + 0 " " value("lengthBytes") + 0
    if (value("command") == "flush") key = "flush 0 0"
    at = start + value("timeNanoseconds") / 1000
    for (i = 1; i <= requests; i++)
        # Never received before it was issued; the tracer rounds to microseconds.
        if (keys[i] == key && !(i in received) && at >= issued[i] - 1) {
            received[i] = at
            replied[i] = at + value("durationNanoseconds") / 1000
            break
        }
}

END {
    printf "%-8s %12s %8s %12s %10s %10s %10s\n", "COMMAND", "OFFSET", "LENGTH", \
        "KERNEL", "SERVER", "SERVER", "KERNEL"
    printf "%-8s %12s %8s %12s %10s %10s %10s\n", "", "", "", \
        "issues", "receives", "replied", "completes"
    for (i = 1; i <= requests; i++) {
        split(keys[i], word, " ")
        printf "%-8s %12s %8s %12s %10s %10s %10s\n", word[1], word[2], word[3], \
            "0.0", since(i, received), since(i, replied), since(i, completed)
    }
    exit requests == 0
}

function add_issue(kind, sector, sectors, at) {
    requests++
    keys[requests] = name_of(kind, sector, sectors)
    issued[requests] = at
}

# Returns the server's name of a request. The block layer's letters: R read, W write, D discard; F alone is a flush,
# whose offset has no meaning.
function name_of(kind, sector, sectors,    command) {
    if (kind ~ /^F/ && sectors == 0) return "flush 0 0"
    sub(/^F/, "", kind)
    command = kind ~ /^R/ ? "read" : kind ~ /^W/ ? "write" : kind ~ /^D/ ? "trim" : kind
    return command " " sprintf("%.0f", sector * 512) " " sprintf("%.0f", sectors * 512)
}

function since(i, times) {
    return i in times ? sprintf("%.1f", times[i] - issued[i]) : "-"
}

function after(text) {
    return substr($0, index($0, text) + length(text))
}

# Returns the value of a key of the line's JSON object: a number, or a string without its quotes.
function value(key,    rest) {
    if (!match($0, "\"" key "\": *")) return ""
    rest = substr($0, RSTART + RLENGTH)
    sub(/[,}].*$/, "", rest)
    gsub(/"/, "", rest)
    return rest
}

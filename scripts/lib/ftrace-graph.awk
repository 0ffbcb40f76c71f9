# Cuts one request out of the output of the function graph tracer: from the call that submitted it to its completion.
# Variables: device (such as "43,0"), and sectors, the size of the request.

{ line[NR] = $0 }

# block_rq_issue: 43,0 WS 65536 () 65536 + 128 [kworker/1:1H]
!issued && index($0, "block_rq_issue: " device " W") && index($0, "+ " sectors " [") {
    issued = NR
    place = $0
    sub(/^.*\) /, "", place)
    sub(/ \[.*$/, "", place)
}
issued && !completed && index($0, "block_rq_complete: " device) && index($0, ") " place " [") {
    completed = NR
}
completed && !last && index($0, "} /* nbd_complete_rq") { last = NR }

END {
    if (!last) {
        print "The trace has no request of " sectors " sectors for " device "."
        exit 1
    }
    for (first = issued; first > 1; first--)
        if (index(line[first], "blk_mq_submit_bio() {")) break
    for (number = 1; number <= 4; number++) if (line[number] ~ /^#  *[T|]/) print line[number]
    for (number = first; number <= last; number++) show(line[number])
    flush_repeated()
}

# Prints a line, without notes about a change of task, since every line has its task. Prints a function that is called
# many times in a row once, with a count.
function show(text,    name) {
    if (text ~ /^ ---/ || text ~ /=>/ || text ~ /^$/) return
    if (text ~ /\(\);$/) {
        name = text
        sub(/^.*\|/, "", name)
        if (name == repeated) {
            count++
            latest = text
            return
        }
        flush_repeated()
        repeated = name
    } else {
        flush_repeated()
        repeated = ""
    }
    print text
}

function flush_repeated(    indent) {
    if (count == 1) {
        print latest
    } else if (count > 1) {
        indent = repeated
        sub(/[^ ].*$/, "", indent)
        printf "%50s|%s/* and %d times more */\n", "", indent, count
    }
    count = 0
}

# shellcheck shell=bash
# The kernel's function graph tracer: borrowed, and given back as it was. Sourced by ftrace-walk.
#
# There is one such tracer in a kernel (instances of their own have it since Linux 6.13 only), so
# everything that is changed is noted before. ftrace(5) is Documentation/trace/ftrace.rst in Linux.

tracing=/sys/kernel/tracing

# What is changed, in the order in which it is put back; the tracer itself goes first, since some of
# the others refuse to change under it.
ftrace_settings=(tracing_on current_tracer trace_clock max_graph_depth options/funcgraph-abstime
    options/funcgraph-proc options/funcgraph-tail options/funcgraph-irqs options/funcgraph-overhead
    buffer_size_kb)
# Lists of names: empty ones read as a comment.
ftrace_lists=(set_ftrace_filter set_ftrace_notrace set_graph_function set_graph_notrace
    set_ftrace_pid)
ftrace_events=(events/block/block_rq_issue/enable events/block/block_rq_complete/enable)

declare -A ftrace_before=()

# note_tracer: remembers every setting. False, with a reason, when somebody else is tracing.
note_tracer() {
    local name tracer
    if [[ ! -e $tracing/current_tracer ]]; then
        mount -t tracefs tracefs "$tracing" 2>/dev/null || true
    fi
    tracer=$(<"$tracing/current_tracer") || return 1
    if [[ $tracer != nop ]]; then
        echo "The kernel's tracer \"$tracer\" is in use, and there is only one." >&2
        return 1
    fi
    for name in "${ftrace_settings[@]}" "${ftrace_lists[@]}" "${ftrace_events[@]}"; do
        [[ ! -e $tracing/$name ]] || ftrace_before[$name]=$(<"$tracing/$name")
    done
}

# set_tracer: the function graph of nbd and blk-mq, and when a request is issued and done; off until
# start_tracing.
set_tracer() {
    local name
    echo 0 >"$tracing/tracing_on"
    for name in "${ftrace_lists[@]}"; do
        [[ ! -e $tracing/$name ]] || : >"$tracing/$name"
    done
    echo 'nbd_*' >"$tracing/set_ftrace_filter"
    echo 'blk_mq*' >>"$tracing/set_ftrace_filter"
    # The rest of a driver that is a module: how it sends and receives.
    echo '*:mod:nbd' >>"$tracing/set_ftrace_filter" 2>/dev/null || true
    # The clock that the server's own trace goes by. clock_gettime(2), CLOCK_MONOTONIC
    echo mono >"$tracing/trace_clock"
    echo 4096 >"$tracing/buffer_size_kb"
    echo 0 >"$tracing/max_graph_depth"
    for name in abstime proc tail; do
        echo 1 >"$tracing/options/funcgraph-$name"
    done
    # What interrupts a function is not part of it.
    echo 0 >"$tracing/options/funcgraph-irqs"
    echo 0 >"$tracing/options/funcgraph-overhead"
    for name in "${ftrace_events[@]}"; do
        echo 1 >"$tracing/$name"
    done
    echo function_graph >"$tracing/current_tracer"
}

start_tracing() {
    : >"$tracing/trace"
    echo 1 >"$tracing/tracing_on"
}

# stop_tracing FILE: what was traced goes there.
stop_tracing() {
    echo 0 >"$tracing/tracing_on"
    cat "$tracing/trace" >"$1"
}

# put_tracer_back: everything as note_tracer found it; once. False when something is not.
put_tracer_back() {
    local name status=0
    ((${#ftrace_before[@]} > 0)) || return 0
    echo 0 >"$tracing/tracing_on"
    echo nop >"$tracing/current_tracer"
    for name in "${ftrace_events[@]}"; do
        put_setting_back "$name" || status=1
    done
    for name in "${ftrace_lists[@]}"; do
        put_list_back "$name" || status=1
    done
    # From the last to the first: tracing goes on, if it did, when all is in place.
    for name in $(printf '%s\n' "${ftrace_settings[@]}" | tac); do
        put_setting_back "$name" || status=1
    done
    : >"$tracing/trace"
    ftrace_before=()
    return "$status"
}

# Some files read as more than what is written to them: the clock that is chosen is in brackets among
# all of them, and a buffer that was never used says how large it is going to be.
put_setting_back() {
    local value=${ftrace_before[$1]-} now
    [[ -n $value ]] || return 0
    case $value in
    *'['*']'*) value=${value#*[} value=${value%%]*} ;;
    *'(expanded: '*) value=${value#*expanded: } value=${value%)*} ;;
    esac
    echo "$value" >"$tracing/$1"
    now=$(<"$tracing/$1")
    # What is used once stays used; its size is what it would have been.
    [[ $now == "${ftrace_before[$1]}" || ${ftrace_before[$1]} == *'(expanded: '* ]] && return 0
    echo "$tracing/$1 was \"${ftrace_before[$1]}\", and is \"$now\" after writing $value" >&2
    return 1
}

put_list_back() {
    local line
    [[ -n ${ftrace_before[$1]+set} ]] || return 0
    : >"$tracing/$1" || return 1
    while read -r line; do
        [[ -z $line || $line == '#'* || $line == 'no pid' ]] || echo "${line%% *}" >>"$tracing/$1"
    done <<<"${ftrace_before[$1]}"
    [[ $(<"$tracing/$1") == "${ftrace_before[$1]}" ]] && return 0
    echo "$tracing/$1 could not be put back" >&2
    return 1
}

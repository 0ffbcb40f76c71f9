# shellcheck shell=bash
# Uses the kernel's function graph tracer, and restores its settings. Sourced by ftrace-walk.
#
# A kernel has one such tracer (instances have one of their own only since Linux 6.13), so this notes every setting
# before it changes one. Documentation/trace/ftrace.rst in Linux describes them.

tracing=/sys/kernel/tracing

# The settings that change. put_tracer_back turns off the tracer first, since some of the others refuse to change while
# it is on.
ftrace_settings=(tracing_on current_tracer trace_clock max_graph_depth options/funcgraph-abstime
    options/funcgraph-proc options/funcgraph-tail options/funcgraph-irqs options/funcgraph-overhead
    buffer_size_kb)
# Lists of names; an empty list reads as a comment.
ftrace_lists=(set_ftrace_filter set_ftrace_notrace set_graph_function set_graph_notrace
    set_ftrace_pid)
ftrace_events=(events/block/block_rq_issue/enable events/block/block_rq_complete/enable)

declare -A ftrace_before=()

# note_tracer: notes every setting. Prints a reason and returns false if another program uses the tracer.
note_tracer() {
    local name tracer
    if [[ ! -e $tracing/current_tracer ]]; then
        mount -t tracefs tracefs "$tracing" 2>/dev/null || true
    fi
    tracer=$(<"$tracing/current_tracer") || return 1
    if [[ $tracer != nop ]]; then
        echo "The kernel's tracer \"$tracer\" is in use by another program, and there is only one." >&2
        return 1
    fi
    for name in "${ftrace_settings[@]}" "${ftrace_lists[@]}" "${ftrace_events[@]}"; do
        [[ ! -e $tracing/$name ]] || ftrace_before[$name]=$(<"$tracing/$name")
    done
}

# set_tracer: selects the function graph of nbd and blk-mq, and the events of issue and completion. Tracing stays off
# until start_tracing.
set_tracer() {
    local name
    echo 0 >"$tracing/tracing_on"
    for name in "${ftrace_lists[@]}"; do
        [[ ! -e $tracing/$name ]] || : >"$tracing/$name"
    done
    echo 'nbd_*' >"$tracing/set_ftrace_filter"
    echo 'blk_mq*' >>"$tracing/set_ftrace_filter"
    # The other functions of a driver that is a module: those that send and receive.
    echo '*:mod:nbd' >>"$tracing/set_ftrace_filter" 2>/dev/null || true
    # The clock of the server's trace: CLOCK_MONOTONIC, clock_gettime(2).
    echo mono >"$tracing/trace_clock"
    echo 4096 >"$tracing/buffer_size_kb"
    echo 0 >"$tracing/max_graph_depth"
    for name in abstime proc tail; do
        echo 1 >"$tracing/options/funcgraph-$name"
    done
    # Interrupts are not part of a function.
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

# stop_tracing FILE: writes the trace to FILE.
stop_tracing() {
    echo 0 >"$tracing/tracing_on"
    cat "$tracing/trace" >"$1"
}

# put_tracer_back: restores every setting that note_tracer noted, once. False if one cannot be restored.
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
    # In reverse order: tracing resumes, if it was on, after all other settings are restored.
    for name in $(printf '%s\n' "${ftrace_settings[@]}" | tac); do
        put_setting_back "$name" || status=1
    done
    : >"$tracing/trace"
    ftrace_before=()
    return "$status"
}

# Some files read as more than one writes to them: the selected clock is in brackets among all clocks, and a buffer
# that was never used also says how large it will be.
put_setting_back() {
    local value=${ftrace_before[$1]-} now
    [[ -n $value ]] || return 0
    case $value in
    *'['*']'*) value=${value#*[} value=${value%%]*} ;;
    *'(expanded: '*) value=${value#*expanded: } value=${value%)*} ;;
    esac
    echo "$value" >"$tracing/$1"
    now=$(<"$tracing/$1")
    # A buffer that has been used stays allocated; its size is restored.
    [[ $now == "${ftrace_before[$1]}" || ${ftrace_before[$1]} == *'(expanded: '* ]] && return 0
    echo "$tracing/$1 was \"${ftrace_before[$1]}\", and is \"$now\" after writing $value to it" >&2
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
    echo "cannot restore $tracing/$1" >&2
    return 1
}

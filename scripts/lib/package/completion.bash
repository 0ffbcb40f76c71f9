# shellcheck shell=bash

# bash splits words at @, and names of snapshots and checkpoints have one. This function gives the completion whole
# words, and bash the part of each offer that it replaces: the @ and what follows.
_ramdisk-nbd_whole_words() {
    local line=$COMP_LINE typed=${COMP_LINE:0:COMP_POINT} piece blanks before prefix=""
    local -a words=()
    local -i index last=0 current=0
    for ((index = 0; index < ${#COMP_WORDS[@]}; index++)); do
        piece=${COMP_WORDS[index]} blanks=${line%%[![:blank:]]*} before=""
        line=${line#"$blanks"}
        line=${line#"$piece"}
        if ((index > 0)) && [[ -z $blanks && ($piece == @* || ${words[last]} == *@) ]]; then
            before=${words[last]}
            words[last]+=$piece
        else
            last=${#words[@]}
            words+=("$piece")
        fi
        ((index == COMP_CWORD)) || continue
        current=$last prefix=$before
        # The word that bash passes has the @ before it too.
        [[ $2 != @* || $piece == @* ]] || prefix=${prefix%@}
    done
    # The cursor may be within the word.
    [[ $typed == *"$prefix$2" ]] || prefix=""
    local -a COMP_WORDS=("${words[@]}")
    local -i COMP_CWORD=$current
    _ramdisk-nbd "$1" "$prefix$2" "${words[current - 1]}"
    # As the name of a file, bash would write \@.
    [[ ${COMPREPLY[*]} != *@* ]] || compopt +o filenames
    COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
}

complete -o filenames -F _ramdisk-nbd_whole_words ramdisk-nbd

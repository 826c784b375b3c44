# bash completion of runnel: commands and options out of its own table, kinds and queues from the running daemon.
_runnel() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command="" i
    local -a words connection=()
    COMPREPLY=()
    # COMP_WORDS has a URL in pieces: cut at each colon.
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=("")
    for ((i = 1; i < ${#words[@]} - 1; i++)); do
        case ${words[i]} in
        -u | --url | --token-file | --ca-file)
            connection+=("${words[i]}" "${words[i + 1]}")
            i=$((i + 1))
            ;;
        --color) i=$((i + 1)) ;;
        --url=* | --token-file=* | --ca-file=*) connection+=("${words[i]}") ;;
        -*) ;;
        *) command=${command:-${words[i]}} ;;
        esac
    done
    # What the shell would make of it is not known here, but for one thing.
    [[ ${connection[*]} == *[\$\`\"\'\\]* ]] && connection=()
    connection=("${connection[@]/#\~\//$HOME/}")
    # --queue=w comes as three words: --queue, = and w.
    if [ "$word" = = ]; then
        word=
    elif [ "$before" = = ] && [ "$COMP_CWORD" -gt 2 ]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    local choices=
    case $before in
    -q | --queue) choices=$(runnel "${connection[@]}" complete queues 2>/dev/null) ;;
    -k | --kind) choices=$(runnel "${connection[@]}" complete kinds 2>/dev/null) ;;
    -s | --state) choices=$(runnel complete states 2>/dev/null) ;;
    --color) choices='auto always never' ;;
    -f | --file | --token-file | --ca-file)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    *)
        case $command:$word in
        *:-*) choices=$(runnel complete options ${command:+"$command"} 2>/dev/null) ;;
        :* | help:*) choices=$(runnel complete commands 2>/dev/null | sed 's/:.*//') ;;
        submit:* | run:*) [ "$before" = "$command" ] && choices=$(runnel "${connection[@]}" complete kinds 2>/dev/null) ;;
        pause:* | resume:* | set:*) choices=$(runnel "${connection[@]}" complete queues 2>/dev/null) ;;
        load:* | backup:* | export:* | import:*)
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return
            ;;
        esac
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
    if [ "${#COMPREPLY[@]}" -eq 1 ] && [ "${COMPREPLY[0]: -1}" = = ]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F _runnel runnel

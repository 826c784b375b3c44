# bash completion of runnel: commands and options out of its own table, kinds and queues from the running daemon.
_runnel() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command="" i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -u | --url | --token-file | --ca-file | --color) i=$((i + 1)) ;;
        -*) ;;
        *)
            command=${COMP_WORDS[i]}
            break
            ;;
        esac
    done
    # --queue=w comes as three words: --queue, = and w.
    if [ "$word" = = ]; then
        word=
    elif [ "$before" = = ] && [ "$COMP_CWORD" -gt 2 ]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    local choices=
    case $before in
    -q | --queue) choices=$(runnel complete queues 2>/dev/null) ;;
    -k | --kind) choices=$(runnel complete kinds 2>/dev/null) ;;
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
        submit:* | run:*) [ "$before" = "$command" ] && choices=$(runnel complete kinds 2>/dev/null) ;;
        pause:* | resume:* | set:*) choices=$(runnel complete queues 2>/dev/null) ;;
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

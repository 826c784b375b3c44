#!/bin/zsh -f
# What zsh offers for lines, each in order: complete.zsh FOLDER SCRATCH LINE…. FOLDER has the completion, SCRATCH is an empty folder.
# A shell in a pseudo terminal completes each line where somebody presses the tab key; its compadd also says what it was given.
zmodload zsh/zpty || exit 77
folder=$1 scratch=$2
shift 2

cat >$scratch/setup <<'END'
unsetopt beep list_beep zle_bracketed_paste 2>/dev/null
fpath=($folder $fpath)
autoload -Uz compinit
compinit -D -u
compadd() {
    local -a hits
    if [[ " $* " == *" -"[OAD]" "* ]]; then
        builtin compadd "$@"
        return
    fi
    builtin compadd -A hits "$@"
    (( $#hits )) && print -rl -- $hits >>$scratch/hits
    builtin compadd "$@"
}
offered() {
    zle list-choices
    BUFFER=
    print -r done >$scratch/done
}
zle -N offered
bindkey '^I' offered
END
mkfifo $scratch/done
exec {done}<>$scratch/done
export folder scratch
zpty inner zsh -f -i
zpty -w inner ". $scratch/setup; print -r done >$scratch/done"
read -r -u $done
for line; do
    : >$scratch/hits
    zpty -w -n inner $line$'\t'
    # The terminal is read meanwhile: it holds little.
    while zpty -r -t inner; do :; done >/dev/null
    read -r -u $done
    print -r -- ${(j: :)${(ou)${(f)"$(<$scratch/hits)"}}}
done
zpty -d inner

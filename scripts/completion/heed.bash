# bash completion for heed: commands, options, settings and files.
#   source scripts/completion/heed.bash
# What can follow is asked of heed itself, so that this file need not know.

_heed() {
    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(heed --help 2>/dev/null |
            sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z]*\) .*/\1/p') --help" -- "$word")
    elif [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(heed "$command" --help 2>/dev/null |
            sed -n 's/^ .*\(--[a-z][-a-z]*\).*/\1/p')" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        case $command in
        train | config)
            compopt -o nospace
            mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$(heed config 2>/dev/null |
                sed -n 's/^\[\(.*\)\]$/section \1/p; s/^\([a-z0-9_]*\) = .*/\1/p' |
                while read -r first section; do
                    if [ "$first" = section ]; then prefix=$section; else echo "$prefix.$first="; fi
                done)" -- "$word")
            ;;
        esac
    fi
}
complete -o filenames -F _heed heed

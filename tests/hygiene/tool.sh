# shellcheck shell=bash
# need COMMAND: the test is skipped when it is not installed
need() {
    command -v "$1" >/dev/null && return
    echo "skipped: no $1 here"
    exit 77
}

# sources SUFFIX...: our files below the current folder; builds and runs do not count
sources() {
    local suffix
    for suffix in "$@"; do
        find src include tests bench scripts .ci -name "*$suffix" -type f 2>/dev/null
    done | sort
}

#!/usr/bin/env bash
# What scripts/setup.sh does about missing packages, seen through stand-ins for apt-get, dpkg-query and sudo.
set -uo pipefail
work=$(mktemp -d)
cp "$1/scripts/setup.sh" "$work" # where also another user may read it
trap 'rm -rf "$work"' EXIT
failed=0

stand_in() { # NAME BODY: a command that writes its arguments to calls, then runs BODY
    printf '#!/bin/bash\necho "%s $*" >>"%s/calls"\n%s\n' "$1" "$work" "$2" >"$work/bin/$1"
    chmod +x "$work/bin/$1"
}

fresh() { # an empty folder of commands beside the few that setup.sh itself uses
    rm -rf "${work:?}/bin" "$work/calls"
    mkdir "$work/bin"
    : >"$work/calls"
    local tool
    for tool in bash basename dirname cat rm mktemp env grep; do
        ln -s "$(command -v "$tool")" "$work/bin/$tool"
    done
    # shellcheck disable=SC2016
    stand_in dpkg-query 'case "${@: -1}" in have-*) echo "install ok installed";; *) exit 1;; esac'
    stand_in sudo 'exec "$@"'
    stand_in apt-get 'exit 0'
    chmod -R a+rwX "$work"
}

install() { # PACKAGE...: output to $work/said, exit status returned
    # shellcheck disable=SC2016
    "${as_user[@]}" env -i PATH="$work/bin" "${with[@]}" bash -c \
        '. "$0/setup.sh"; install_what_is_missing "$@"' "$work" "$@" >"$work/said" 2>&1
}

expect() { # WHAT CONDITION...
    local what=$1
    shift
    if "$@"; then
        echo "ok: $what"
    else
        echo "FAILED: $what"
        sed 's/^/    called: /' "$work/calls"
        sed 's/^/    said: /' "$work/said"
        failed=1
    fi
}

called() { grep -v '^dpkg-query' "$work/calls" | tr '\n' ';'; }
# shellcheck disable=SC2317
is() { [[ $1 == "$2" ]]; }
# shellcheck disable=SC2317
said() { grep -q -- "$1" "$work/said"; }

as_user=() with=()

fresh
install have-a have-b
expect "nothing missing: status 0" is $? 0
expect "nothing missing: apt is left alone" is "$(called)" ""

fresh
install have-a lack-b have-c lack-d
expect "missing: status 0" is $? 0
if ((EUID == 0)); then
    expect "as root: update, then exactly what is missing" is "$(called)" \
        "apt-get update;apt-get install -y --no-install-recommends lack-b lack-d;"
    as_user=(setpriv --reuid 65534 --clear-groups)
    fresh
    install lack-b
fi
expect "not root: through sudo" is "$(called | grep -c 'sudo apt-get update;apt-get update;sudo env')" 1

fresh
rm "$work/bin/sudo"
install lack-b
expect "neither root nor sudo: status 69" is $? 69
expect "neither root nor sudo: says what to type" said 'apt-get install lack-b'
as_user=()

fresh
stand_in apt-get 'echo "E: no such package"; exit 100'
install lack-b
expect "apt fails: status 69" is $? 69
expect "apt fails: its words are shown" said 'E: no such package'

fresh
rm "$work/bin/apt-get"
install lack-b
expect "no apt: status 69" is $? 69
expect "no apt: names what is missing" said 'CMake 3.22'

fresh
with=(HEED_NO_INSTALL=1)
install lack-b
expect "HEED_NO_INSTALL: status 69" is $? 69
expect "HEED_NO_INSTALL: apt is left alone" is "$(called)" ""

exit $failed

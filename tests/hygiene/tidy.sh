#!/usr/bin/env bash
# clang-tidy finds nothing in the library and the program, with the checks and reasons of .clang-tidy.
#
#   tidy.sh SOURCE BUILD [NODES]   how far its analyzer follows the paths of a function; by default as far as it would by
#                                  itself (225000), which is seven times the work of 20000
set -uo pipefail
. "$(dirname "$0")/tool.sh"
cd "$1" || exit 1
need clang-tidy
files=$(find src -name '*.c' | sort)
# shellcheck disable=SC2086
output=$(printf '%s\n' $files | xargs -P 2 -n 4 clang-tidy -p "$2" --quiet --extra-arg=-Xclang --extra-arg=-analyzer-config \
    --extra-arg=-Xclang --extra-arg="max-nodes=${3:-225000}" 2>/dev/null)
status=$?
printf '%s\n' "$output" | grep -E '(error|warning):' | sed "s#$1/##" | sort -u
exit $status

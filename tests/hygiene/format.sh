#!/usr/bin/env bash
# Every C file that a person wrote looks as clang-format would write it. clang-format -i FILE mends it.
set -euo pipefail
. "$(dirname "$0")/tool.sh"
cd "$1"
need clang-format
sources .c .h | xargs grep -L '^/\* Made by ' | xargs clang-format --dry-run -Werror

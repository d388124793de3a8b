#!/usr/bin/env bash
# cppcheck finds nothing in the library and the program.
set -euo pipefail
. "$(dirname "$0")/tool.sh"
cd "$1"
need cppcheck
cppcheck --project="$2/compile_commands.json" --file-filter="$1/src/*" --enable=warning,performance,portability \
    --inline-suppr --suppress=missingIncludeSystem --quiet -j 2 --error-exitcode=1 \
    --template='{file}:{line}: {severity}: {message} [{id}]'

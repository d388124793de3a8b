#!/usr/bin/env bash
# shellcheck finds nothing in the scripts that users start.
set -euo pipefail
. "$(dirname "$0")/tool.sh"
cd "$1"
need shellcheck
find scripts -name '*.sh' -o -name '*.sbatch' | sort | xargs shellcheck -x .ci/run

#!/usr/bin/env bash
# Installs what is missing, builds, and runs the test suite.
#
#   scripts/test.sh                        all but tests with the label `slow` (below 10 minutes on 2 cores)
#   scripts/test.sh -L slow -LE campaign   those (20 minutes), but for the fault campaign's (scripts/fault-campaign.sh)
#   scripts/test.sh -R gemm                what ctest understands is passed on
#   HEED_WERROR=ON scripts/test.sh         warnings are errors
set -euo pipefail
# shellcheck source=scripts/setup.sh
. "$(dirname "$0")/setup.sh"

install_what_is_missing "${packages_build[@]}" "${packages_test[@]}"
configure HEED_TESTS=ON "HEED_WERROR=${HEED_WERROR:-OFF}"
compile all

labels=(-LE slow)
for argument in "$@"; do
    case $argument in -L* | --label*) labels=() ;; esac
done
# Twice as many as cores: half of the time tests wait for processes that start or end. Those that say PROCESSORS 2 count twice.
exec ctest --test-dir "$build" --output-on-failure --parallel "$((2 * $(nproc)))" "${labels[@]}" "$@"

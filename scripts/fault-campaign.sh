#!/usr/bin/env bash
# The whole fault campaign, with the long form of every row of docs/faults.md: kills, SLURM, cut networks, failing disks, MPI
# calls and allocations, damaged files, fuzzing, a changing clock, a long life. At most 90 minutes; every row prints what it
# tried and survived. The quick forms run with every scripts/test.sh.
#
#   scripts/fault-campaign.sh                 all of it
#   scripts/fault-campaign.sh -R fault.kill   what ctest understands is passed on
set -euo pipefail
# shellcheck source=scripts/setup.sh
. "$(dirname "$0")/setup.sh"

install_what_is_missing "${packages_build[@]}" "${packages_test[@]}"
configure HEED_TESTS=ON
compile all
# side by side go the searches and rows that wait, most of their time; those that use all cores say so (PROCESSORS 2)
status=0
ctest --test-dir "$build" -L campaign --verbose --parallel "$(nproc)" "$@" | tee "$build/fault-campaign.log" |
    grep --line-buffered -E '(tried|survived|detected|same bits|kills|findings|PASSED|second quarter|WRONG|FAILED|skipped|Test +#)' || status=$?
echo "all that was said: $build/fault-campaign.log"
tail -n 30 "$build/fault-campaign.log" | grep -q '100% tests passed'
exit "$status"

#!/usr/bin/env bash
# Trains a small transformer to write like Moby-Dick on all cores of this machine, and shows what it writes.
#
#   scripts/run.sh                      install what is missing, build, train configs/whale.ini, print a sample
#   scripts/run.sh train.steps=50       any setting can be given (heed config explains them all)
#   scripts/run.sh configs/M.ini        another recipe
#   NP=4 scripts/run.sh                 4 ranks; the default is one a physical core
#   OMP_NUM_THREADS=2 NP=2 scripts/run.sh
#
# A second call does only what is left to do: it goes on with a run that was interrupted, and leaves a finished one alone.
set -euo pipefail
# shellcheck source=scripts/setup.sh
. "$(dirname "$0")/setup.sh"
cd "$root"

config=configs/whale.ini
if (($#)) && [[ $1 != *=* && $1 != -* ]]; then
    config=$1
    shift
fi

# setting KEY: as the command line or else the config says; empty where the default holds
setting() {
    local argument value section=${1%%.*} key=${1#*.}
    value=$(sed -n "/^\[$section\]/,/^\[/s/^$key *= *\([^;#]*[^;# ]\).*/\1/p" "$config" 2>/dev/null | tail -n 1)
    for argument in "${arguments[@]}"; do
        [[ $argument == "$1="* ]] && value=${argument#*=}
    done
    echo "$value"
}

arguments=("$@")
install_what_is_missing "${packages_build[@]}"
[[ -f $build/CMakeCache.txt ]] || configure HEED_TESTS=OFF
compile heed_program

cores=$(physical_cores)
batch=$(setting train.batch) grain=$(setting train.grain)
grains=$((${batch:-1} / ${grain:-1})) # no more ranks than grains can take part
ranks=${NP:-$((cores < grains ? cores : grains))}
threads=${OMP_NUM_THREADS:-$((cores / ranks > 0 ? cores / ranks : 1))}
launcher "$ranks" "$threads" "$cores"
say "Training $config on $ranks ranks of $threads thread(s)"
"${launch[@]}" "$build/heed" train "$config" "$@"

directory=$(setting run.dir)
say "What it writes now:"
launcher 1 "$cores" "$cores"
"${launch[@]}" "$build/heed" generate "$directory"
cat >&2 <<END

Everything lies in $directory:
  config.ini     all settings of the run
  metrics.jsonl  loss, validation loss and learning rate, one line a step
  attention/     what attention looked at and what that was worth (HDF5; xarray opens them all at once)
  checkpoints/   parameters and optimizer state (HDF5)
More text: $build/heed generate $directory
END

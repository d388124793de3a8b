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

config=configs/whale.ini
if (($#)) && [[ $1 != *=* && $1 != -* ]]; then
    config=$1
    [[ -e $config ]] && config=$(realpath "$config") # from wherever this was called
    shift
fi
cd "$root"

install_what_is_missing "${packages_build[@]}"
[[ -f $build/CMakeCache.txt ]] || configure HEED_TESTS=OFF
compile heed_program

# setting KEY: as heed itself understands the config and the arguments
settings=$("$build/heed" config "$config" "$@")
setting() {
    sed -n "/^\[${1%%.*}\]/,/^\[/s/^${1#*.} *= *\([^;]*[^; ]\) *;.*/\1/p" <<<"$settings"
}

cores=$(physical_cores)
grains=$(($(setting train.batch) / $(setting train.grain))) # no more ranks than this can take part
ranks=${NP:-$((cores < grains ? cores : grains))}
threads=${OMP_NUM_THREADS:-$((cores > ranks ? cores / ranks : 1))}
directory=$(setting run.dir)

launcher "$ranks" "$threads" "$cores"
say "Training $config on $ranks ranks of $threads thread(s)"
"${launch[@]}" "$build/heed" train "$config" "$@"

say "What it writes now:"
launcher 1 1 "$cores"
"${launch[@]}" "$build/heed" generate "$directory" --temperature 0.8
cat >&2 <<END

Everything lies in $directory:
  config.ini     all settings of the run
  metrics.jsonl  loss, validation loss and learning rate, one line a step
  attention/     what attention looked at and what that was worth (HDF5; xarray opens them all at once)
  checkpoints/   parameters and optimizer state (HDF5)
More text: ${build#"$root"/}/heed generate $directory
END

#!/usr/bin/env bash
# Builds the fuzz targets with clang, libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer, and lets each search for
# some seconds from sound and damaged files, and from the inputs that are kept in corpus/, as many at a time as there are
# cores. What is found goes to FOLDER/found. Several of these may share a folder: the first builds, the others wait for it.
#
#   tests/fuzz/run.sh SOURCE FOLDER SECONDS [TARGET...]
set -euo pipefail
source=$(realpath "$1") folder=$2 seconds=$3
shift 3
for tool in clang cmake python3; do
    command -v "$tool" >/dev/null || { echo "skipped: there is no $tool here" && exit "$([[ -n ${CI:-} ]] && echo 1 || echo 77)"; }
done
mkdir -p "$folder/found" "$folder/seeds"
folder=$(realpath "$folder")
exec {building}>"$folder/building"
flock "$building"
generator=()
command -v ninja >/dev/null && generator=(-G Ninja)
cmake --preset fuzz "${generator[@]}" -S "$source" -B "$folder/build" >"$folder/build.log" 2>&1 || { cat "$folder/build.log" && exit 1; }
targets=("$@")
((${#targets[@]})) || mapfile -t targets < <(cd "$source/tests/fuzz" && printf "%s\n" *_fuzz.c | sed "s,_fuzz.c,,")
cmake --build "$folder/build" --parallel "$(nproc)" --target heed_program bad_input_make_damaged "${targets[@]/#/fuzz_}" \
    >"$folder/build.log" 2>&1 || { tail -n 30 "$folder/build.log" && exit 1; }

cores=$(nproc) # which would say what OMP_NUM_THREADS does
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=2048 OMP_NUM_THREADS=1
export UBSAN_OPTIONS=print_stacktrace=1

# ---- what the search begins with: a run's files, and every damaged version of them ---------------------------------------
make_seeds() {
    local seeds=$folder/seeds heed=$folder/build/heed kind file target
    python3 -c 'import random; random.seed(1); print("".join(random.choice("abcdefghij") for _ in range(400)))' >"$seeds/book.txt"
    local small=(model.layers=1 model.heads=2 model.width=8 model.time=8 train.steps=2 train.batch=2 train.grain=1
        eval.batches=1 log.attention_every=1 train.threads=1)
    rm -rf "$seeds/run" "$seeds/why"
    "$heed" train --quiet "data.text=$seeds/book.txt" "run.dir=$seeds/run" "${small[@]}"
    "$heed" controls "data.text=$seeds/book.txt" "run.dir=$seeds/why" "${small[@]}" controls.runs=1 >/dev/null 2>&1
    "$heed" probe "$seeds/run" --output "$seeds/probe.h5" >/dev/null
    mkdir -p "$seeds/pair_file"
    sed -n 2000,2020p "$source/data/gospels.en-es.tsv" >"$seeds/pairs.tsv"
    "$heed" prepare --pairs "$seeds/pairs.tsv" --output "$seeds/pairs.h5" >/dev/null
    for kind in A Q '%' '|'; do
        { printf '%s' "$kind" && cat "$seeds/pairs.tsv"; } >"$seeds/pair_file/$(printf '%d' "'$kind")"
    done
    rm -rf "$seeds/corpus" "$seeds/checkpoint" "$seeds/attention" "$seeds/controls" "$seeds/probe"
    for kind in corpus:run/tokens.h5 corpus:pairs.h5 checkpoint:run/checkpoints/step-00000002.h5 attention:run/attention/step-00000001.h5 \
        controls:why/controls.h5 probe:probe.h5; do
        file=$seeds/${kind#*:} target=$seeds/${kind%%:*}/$(basename "$file" .h5)
        mkdir -p "$target"
        "$folder/build/tests/bad_input/bad_input_make_damaged" "$file" "$target" >/dev/null
        find "$target" ! -type f ! -type d -delete
        cp "$file" "$target/sound.h5"
    done
    mkdir -p "$seeds/config" "$seeds/metrics" "$seeds/text"
    find "$source/configs" -name '*.ini' -exec cp {} "$seeds/config" \;
    cp "$seeds/run/config.ini" "$seeds/config/resolved.ini"
    cp "$seeds/run/metrics.jsonl" "$seeds/metrics"
    for kind in 0 1 2 3; do
        { printf '%d' "$kind" && sed -n 2000,2020p "$source/data/gospels.en-es.tsv"; } >"$seeds/text/$kind"
    done
}
[[ -f $folder/seeds/made ]] || { make_seeds && touch "$folder/seeds/made"; }
flock --unlock "$building"

# ---- the search --------------------------------------------------------------------------------------------------------
search() { # TARGET: prints one line and ends with 1 where something was found, which is in FOLDER/found
    local target=$1 log=$folder/found/$1.log status=0 runs
    mkdir -p "$folder/grown/$target" "$folder/seeds/$target"
    "$folder/build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3000 -max_len=65536 \
        -artifact_prefix="$folder/found/$target-" "$folder/grown/$target" "$source/tests/fuzz/corpus/$target" \
        "$folder/seeds/$target" >"$log" 2>&1 || status=$?
    runs=$(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$log")
    echo "fuzz $target: ${runs:-?} inputs in $seconds s, $((status != 0)) findings"
    ((status == 0)) || grep -E -A12 'ERROR:|SUMMARY|runtime error|does not hold' "$log" | head -n 30
    return "$((status != 0))"
}

export -f search
export source folder seconds
printf '%s\n' "${targets[@]}" | xargs -n 1 -P "$cores" bash -c 'search "$1"' search

# For the shell tests of training: sourced with DRIVER SOURCE_DIR MPIEXEC [FLAGS...] as arguments. Works in ./work, made anew.
set -eu
driver=$1
source_dir=$2
shift 2
mpiexec="$*"
export GOMP_SPINCOUNT=0 # more threads than cores: waiting ones had better sleep

rm -rf work
mkdir work
cd work
head -n 35 "$source_dir/data/moby-dick.txt" >book.txt

# Odd sizes (small: spinning threads on too few cores make large products a torment), 12 grains, every step clipped, dropout, and an epoch of 3 steps, the last of them with a partial batch.
steps=${steps:-7}
last=$(printf %08d $steps)
cat >config.ini <<CONFIG
[run]
dir = run
seed = 7
[model]
layers = 2
heads = 5
width = 45
hidden = 95
time = 21
dropout = 0.1
bias = yes
[data]
text = ../book.txt
valid_share = 0.3
[train]
steps = $steps
batch = 24
grain = 2
clip = 0.05
warmup = 2
peak_lr = 1e-2
final_lr = 1e-3
[eval]
every = 2
[log]
attention_every = 3
probes = 2
[checkpoint]
every = 4
CONFIG

fail() {
    echo "FAILED: $*"
    exit 1
}

# launch RANKS THREADS FOLDER [ARGUMENT...]: trains in FOLDER/run; what is said goes to FOLDER/out.txt.
launch() {
    ranks=$1 threads=$2 folder=$3
    shift 3
    mkdir -p "$folder"
    (cd "$folder" && OMP_NUM_THREADS=$threads $mpiexec -n "$ranks" "$driver" train ../config.ini "$@" >>out.txt 2>&1)
}

train() {
    launch "$@" || {
        cat "$3/out.txt"
        fail "training in $3 ended with an error"
    }
}

# same A B: the last checkpoint, the metrics and the attention logs have the same bytes.
same() {
    cmp "$1/run/checkpoints/step-$last.h5" "$2/run/checkpoints/step-$last.h5" || fail "$1 and $2: parameters differ"
    cmp "$1/run/metrics.jsonl" "$2/run/metrics.jsonl" || fail "$1 and $2: metrics differ"
    diff -r "$1/run/attention" "$2/run/attention" || fail "$1 and $2: attention logs differ"
}

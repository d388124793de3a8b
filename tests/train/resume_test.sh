#!/bin/sh
# Stopped at five different steps and resumed at 1, 2 and 4 ranks, a run ends with the files of one that was never stopped. Also:
# what a resume refuses, and that a finished run knows it.
. "${0%/*}/lib.sh"

train 2 1 whole
ranks=1
for stop in 1 2 3 5 6; do
    status=0
    launch $((ranks % 3 + 1)) 1 stopped-$stop stop-after=$stop || status=$?
    [ $status = 75 ] || fail "stopped run ended with $status instead of 75"
    grep -q "stopped on request after step $stop of 7" stopped-$stop/out.txt || fail "no word of stopping at $stop"
    for ranks in 1 2 4; do
        cp -r stopped-$stop resumed-$stop-$ranks
        train $ranks 1 resumed-$stop-$ranks
        same whole resumed-$stop-$ranks
    done
    echo "stopped at $stop, resumed at 1, 2, 4 ranks: the same bits"
done

# lines and logs past the checkpoint, and a torn one, are done again
cp -r stopped-3 torn
sed 's/"step":1,/"step":4,/; q' torn/run/metrics.jsonl >>torn/run/metrics.jsonl.new
cat torn/run/metrics.jsonl torn/run/metrics.jsonl.new >torn/both && mv torn/both torn/run/metrics.jsonl
rm torn/run/metrics.jsonl.new
printf '{"step":5,"lo' >>torn/run/metrics.jsonl
cp torn/run/attention/step-00000000.h5 torn/run/attention/step-00000006.h5
cp torn/run/attention/step-00000000.h5 torn/run/attention/step-00000007.h5
train 3 1 torn
same whole torn

# twice the same command: nothing left to do
cp whole/run/metrics.jsonl before.jsonl
train 1 1 whole
grep -q "has its 7 steps already" whole/out.txt || fail "a finished run does not say so"
cmp before.jsonl whole/run/metrics.jsonl

# another model or another text is refused by name, and nothing is touched
refuse() { # FOLDER STATUS WORDS [ARGUMENT...]
    folder=$1 expected=$2 words=$3 status=0
    shift 3
    cp -r stopped-5 $folder
    for ranks in 1 3; do
        status=0
        launch $ranks 1 $folder "$@" || status=$?
        [ $status = "$expected" ] || fail "$folder at $ranks ranks: status $status instead of $expected"
        grep -q "$words" $folder/out.txt || fail "$folder: no word of $words: $(cat $folder/out.txt)"
    done
    cmp stopped-5/run/metrics.jsonl $folder/run/metrics.jsonl
}
refuse wider 78 "model.width = 50: run/checkpoints/step-00000005.h5 was made with 45" model.width=50
refuse seed 78 "run.seed = 8" run.seed=8
head -n 36 "$source_dir/data/moby-dick.txt" >other.txt
train 1 1 other data.text=../other.txt train.steps=1
refuse data 65 "not the tokens that" data.store=../other/run/tokens.h5
refuse steps 0 "has its 5 steps already" train.steps=5

#!/bin/sh
# Ranks x threads change no bit of parameters, metrics and attention logs; nor does the cadence of logs, evaluation and checkpoints
# change parameters.
steps=3 # the last is the partial one
. "${0%/*}/lib.sh"

train 1 1 1x1
[ "$(grep -c '"loss"' 1x1/run/metrics.jsonl)" = $steps ] || fail "not $steps lines of metrics"
[ "$(ls 1x1/run/attention)" = "$(printf 'step-%08d.h5\n' 0 3)" ] || fail "attention logs: $(ls 1x1/run/attention)"
awk -F'"gradient_norm":' '{ split($2, norm, ","); if (norm[1] + 0 <= 0.05) exit 1 }' 1x1/run/metrics.jsonl ||
    fail "a step was not clipped: the test means all to be"
[ "$(grep -o '"tokens":[0-9.]*' 1x1/run/metrics.jsonl | sort -u | wc -l)" = 2 ] || fail "no step had a partial batch"

for shape in 1x2 1x3 2x1 2x2 3x1 4x1 5x1 8x1; do
    train "${shape%x*}" "${shape#*x}" $shape
    same 1x1 $shape
    echo "$shape: the same bits as 1x1"
done

# probes are shared by the ranks; with four ranks and three probes rank 0 has none of its own
train 1 1 probes3 log.probes=3
train 1 1 probes7 log.probes=7
for shape in 2x1 3x2 4x1 8x1; do
    for probes in 3 7; do
        train "${shape%x*}" "${shape#*x}" probes$probes-$shape log.probes=$probes
        same probes$probes probes$probes-$shape
    done
    echo "$shape: the same logs of 3 and 7 probes"
done

train 2 1 cadence log.attention_every=1 log.probes=3 log.metrics_every=3 eval.every=1 checkpoint.every=1 checkpoint.keep=20
train 1 1 quiet log.attention_every=0 eval.every=0 checkpoint.every=0
"$driver" digest 1x1/run/checkpoints/step-$last.h5 >1x1.digest
for run in cadence quiet; do
    "$driver" digest $run/run/checkpoints/step-$last.h5 >$run.digest
    cmp 1x1.digest $run.digest || fail "$run: parameters or moments differ"
done
[ "$(ls cadence/run/checkpoints | wc -l)" = $steps ] || fail "checkpoints: $(ls cadence/run/checkpoints)"
echo "cadence changes no bit"

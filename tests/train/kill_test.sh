#!/bin/sh
# SIGKILL of the whole job at random instants, while every step writes a checkpoint: what was acknowledged in log.txt always loads,
# and the run, started again and again, ends with the files of one that was never killed.
# usage: kill_test.sh DRIVER SOURCE_DIR KILLS MPIEXEC [FLAGS...]
kills=$3
driver_=$1 source_=$2
shift 3
set -- "$driver_" "$source_" "$@"
steps=60
. "${0%/*}/lib.sh"
often="checkpoint.every=1 log.attention_every=10 eval.every=20 eval.batches=1"

# Every process of a session, the launcher and its ranks.
kill_session() {
    for stat in /proc/[0-9]*/stat; do
        awk -v session="$1" '{ pid = $1; sub(/.*\) /, ""); if ($4 == session) print pid }' "$stat" 2>/dev/null || true
    done >session.pids
    [ ! -s session.pids ] || kill -KILL $(cat session.pids) 2>/dev/null || true
}

check_acknowledged() {
    acknowledged=$(sed -n 's/.*checkpoint run\/checkpoints\/step-0*\([0-9]*\).h5 saved/\1/p' job/run/log.txt 2>/dev/null | tail -n 1)
    [ -n "$acknowledged" ] || return 0
    newest=$(cd job && "$driver" newest run/checkpoints)
    newest=$(echo "$newest" | sed -n 's/.*step-0*\([0-9]*\).h5/\1/p')
    [ "${newest:-0}" -ge "$acknowledged" ] || fail "step $acknowledged was acknowledged, but the newest that loads is ${newest:-none}"
    checked=$((checked + 1))
}

train 1 1 whole $often

done=0 checked=0 finished=0 ranks=1
seed=$(date +%s)
echo "seed $seed"
while [ $done -lt "$kills" ]; do
    mkdir -p job
    pause=$(awk -v seed="$seed$done" 'BEGIN { srand(seed); printf "%.3f", 0.05 + 1.5 * rand() }')
    ranks=$((ranks % 3 + 1))
    (cd job && exec setsid $mpiexec -n $ranks "$driver" train ../config.ini $often >>out.txt 2>&1) &
    job=$!
    sleep "$pause"
    if kill -0 $job 2>/dev/null; then
        kill_session $job
        done=$((done + 1))
    fi
    status=0
    wait $job 2>/dev/null || status=$?
    [ $status != 0 ] || { # it was done before the kill: look at it, and begin again
        finished=$((finished + 1))
        same whole job
        rm -rf job
        continue
    }
    [ $status = 137 ] || { cat job/out.txt; fail "ended with $status before it was killed"; }
    check_acknowledged
done
mkdir -p job
train 2 1 job $often
same whole job
echo "$done kills, $checked with an acknowledged checkpoint, all of which loaded; $((finished + 1)) runs ended with the same bits"
[ $checked -gt $((kills / 4)) ] || fail "too few kills met a checkpoint: the machine is too slow for this test's pauses"

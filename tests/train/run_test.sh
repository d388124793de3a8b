#!/bin/sh
# What a run does beside training: threads, probes, starting weights, its folder, and what it refuses.
steps=3
. "${0%/*}/lib.sh"

# expect STATUS WORDS RANKS FOLDER [ARGUMENT...]: ends so, and says so.
expect() {
    expected=$1 words=$2 status=0
    shift 2
    launch "$1" 1 "$2" $(shift 2 && echo "$@") || status=$?
    [ $status = "$expected" ] || { cat "$2/out.txt"; fail "$2: status $status instead of $expected"; }
    grep -q -- "$words" "$2/out.txt" || { cat "$2/out.txt"; fail "$2: no word of: $words"; }
}

# threads: as many as there are cores for each rank, unless told
unset OMP_NUM_THREADS
threads() { # EXPECTED RANKS [COMMAND...]
    expected=$1 ranks=$2
    shift 2
    rm -rf threads
    "$@" $mpiexec -n $ranks "$driver" train config.ini run.dir=threads data.text=book.txt train.steps=1 >threads.txt 2>&1 || {
        cat threads.txt
        fail "threads"
    }
    grep -q "$ranks ranks\{0,1\} x $expected thread" threads.txt || { cat threads.txt; fail "expected $expected threads at $ranks ranks"; }
}
cores=$(for cpu in /sys/devices/system/cpu/cpu[0-9]*; do cat $cpu/topology/thread_siblings_list 2>/dev/null || echo $cpu; done | sort -u | wc -l)
first=$(taskset -pc $$ | sed 's/.*: \([0-9]*\).*/\1/')
if [ "$(nproc)" = "$(nproc --all)" ]; then # else this test was itself given a part of the machine
    threads "$cores" 1 env
    threads $((cores > 1 ? cores / 2 : 1)) 2 env
fi
threads 1 1 taskset -c "$first"
threads 3 1 env OMP_NUM_THREADS=3
train 1 1 told train.threads=2
grep -q "1 rank x 2 threads" told/out.txt || fail "train.threads is not heeded"

# probes from a file, one a line
printf 'the whale\n\nhis old craft\nof a sort\n' >probes.txt
train 2 1 probes log.probes=../probes.txt
[ "$("$driver" probes probes/run/attention/step-00000000.h5)" = 3 ] || fail "three lines are not three probes"
for ranks in 1 5; do
    train $ranks 1 probes-$ranks log.probes=../probes.txt
    same probes probes-$ranks
done
mkdir apart # the file is on rank 0's disk
(cd apart && $mpiexec -n 1 "$driver" train ../config.ini log.probes=../probes.txt : \
    -n 2 "$driver" train ../config.ini log.probes=../nowhere.txt) >apart/out.txt 2>&1 || {
    cat apart/out.txt
    fail "a rank that is not the first wants to read the file of probes"
}
diff -r apart/run/attention probes/run/attention || fail "the file of probes was not shared"
printf 'the whale\nthe # whale\n' >strange.txt
expect 65 "../strange.txt:2" 3 strange log.probes=../strange.txt
printf 'the whale\nx\n' >short.txt
expect 65 "../short.txt:2: a probe of 1 token" 1 short log.probes=../short.txt
: >empty.txt
expect 65 "no probes in this file" 1 empty log.probes=../empty.txt
expect 66 "log.probes = ../missing.txt" 2 missing log.probes=../missing.txt
[ "$(grep -c "missing.txt" missing/out.txt)" = 1 ] || { cat missing/out.txt; fail "an error is told more than once"; }

# another run's weights; another model's are refused
train 2 1 first
train 1 1 second train.init_from=../first/run/checkpoints/step-$last.h5 train.peak_lr=0 train.final_lr=0
"$driver" digest first/run/checkpoints/step-$last.h5 | grep params >first.digest
"$driver" digest second/run/checkpoints/step-$last.h5 | grep params >second.digest
cmp first.digest second.digest || fail "without learning the weights must stay those of train.init_from"
expect 65 "../first/run/checkpoints/step-$last.h5" 3 third train.init_from=../first/run/checkpoints/step-$last.h5 model.layers=3

# more steps than at first: goes on
cp -r first longer
train 3 1 longer train.steps=5 train.schedule=cosine
grep -q "going on from run/checkpoints/step-$last.h5" longer/out.txt || fail "a longer run did not go on"
grep -q "train.steps = 5; the checkpoint was made with 3" longer/out.txt || fail "a changed setting is not named"
grep -q "train.seed" longer/out.txt && fail "a setting that did not change is named"
[ "$(grep -c '"loss"' longer/run/metrics.jsonl)" = 5 ] || fail "a longer run has not 5 lines"

# folders and stores
mkdir busy busy/run
exec 9>>busy/run/log.txt
flock -s 9
expect 73 "run.dir = run: another heed is training there" 2 busy
exec 9>&-
expect 78 "12 grains" 13 many
: >file
expect 73 "cannot make the folder ../file: there is a file of that name" 3 infile run.dir=../file/run
head -n 36 "$source_dir/data/moby-dick.txt" >other.txt
expect 65 "data.store = ../first/run/tokens.h5: holds other tokens than data.text = ../other.txt" 2 stores \
    data.store=../first/run/tokens.h5 data.text=../other.txt
expect 66 "nowhere.txt" 3 nowhere data.text=nowhere.txt
expect 78 "data.text" 2 nothing data.text=

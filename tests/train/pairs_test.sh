#!/bin/sh
# An encoder-decoder: any number of ranks and threads gives the bytes of one, and so does a run that was stopped and went
# on, in weights, figures and the logs of all three kinds of attention. And what does not go together.
steps=5
. "${0%/*}/lib.sh"

pairs="model.kind=encoder_decoder model.encoder_layers=1 model.norm=post model.scale_embeddings=yes train.label_smoothing=0.1
       data.text= data.task=reverse data.task_length=9 data.task_valid=30"

same_pairs() {
    same "$1" "$2"
    for kind in encoder cross; do
        diff -r "$1/run/attention-$kind" "$2/run/attention-$kind" || fail "$1 and $2: $kind attention differs"
    done
}

train 1 1 whole $pairs
[ "$(ls whole/run/attention-cross | wc -l)" = 2 ] || fail "not two logs of cross-attention"
for shape in "1 3" "2 1" "3 2" "5 1" "12 1"; do
    folder=shape-$(echo $shape | tr ' ' -)
    train $shape $folder $pairs
    same_pairs whole $folder
    echo "ranks and threads $shape: the same bits"
done

# a file of pairs of 1 to 24 symbols a side, some of which the model's context leaves out: ranks have different numbers of rows
awk 'BEGIN { srand(5); for (i = 0; i < 150; i++) {
    n = 1 + int(rand() ^ 2 * 24); m = 1 + int(rand() * n); s = ""; t = ""
    for (k = 0; k < n; k++) { c = substr("abcdefgh", 1 + int(rand() * 8), 1); s = s c; if (k < m) t = c t }
    print s "\t" t } }' >pairs.tsv
file="model.kind=encoder_decoder data.text= data.pairs=../pairs.tsv data.valid_share=0.2 log.probes=4"
train 1 1 file $file
[ "$(grep -o '"tokens":[0-9]*' file/run/metrics.jsonl | sort -u | wc -l)" = $steps ] || fail "batches have the same number of tokens"
for shape in "1 2" "2 1" "3 1" "5 2"; do
    folder=file-$(echo $shape | tr ' ' -)
    train $shape $folder $file
    same_pairs file $folder
    echo "pairs of many lengths, ranks and threads $shape: the same bits"
done

# the sources' own vocabulary apart, norms ahead, attention computed again
other="model.norm=pre model.encoder_attention=none model.tied=no train.recompute=attention model.positions=rotary model.width=50"
train 1 1 other $pairs $other
train 3 2 other-3 $pairs $other
same_pairs other other-3
train 2 1 other-kept $pairs $other train.recompute=none
cmp other/run/metrics.jsonl other-kept/run/metrics.jsonl || fail "attention computed again has other bits"

for stop in 1 3; do
    status=0
    launch 2 1 stopped-$stop $pairs stop-after=$stop || status=$?
    [ $status = 75 ] || fail "stopped run ended with $status instead of 75"
    for ranks in 1 2 4; do
        cp -r stopped-$stop resumed-$stop-$ranks
        train $ranks 1 resumed-$stop-$ranks $pairs
        same_pairs whole resumed-$stop-$ranks
    done
    echo "stopped at $stop, resumed at 1, 2, 4 ranks: the same bits"
done

# another run's weights
train 2 1 started $pairs train.init_from=../whole/run/checkpoints/step-$last.h5 train.peak_lr=0 train.final_lr=0
"$driver" digest whole/run/checkpoints/step-$last.h5 | grep params >whole.digest
"$driver" digest started/run/checkpoints/step-$last.h5 | grep params >started.digest
cmp whole.digest started.digest || fail "without learning the weights must stay those of train.init_from"

refuse() { # STATUS WORDS RANKS [ARGUMENT...]
    expected=$1 words=$2 ranks=$3 status=0
    shift 3
    launch $ranks 1 refused "$@" || status=$?
    [ $status = "$expected" ] || fail "status $status instead of $expected"
    grep -q "$words" refused/out.txt || fail "no word of $words: $(cat refused/out.txt)"
    rm -r refused
}
refuse 78 "model.kind = encoder_decoder: .* sources" 2 model.kind=encoder_decoder
refuse 78 "model.encoder_layers = 2" 1 model.encoder_layers=2
refuse 78 "only softmax, uniform and random attention" 1 $pairs model.attention=content

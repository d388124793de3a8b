/* Every setting of heed is one row here, and nowhere else: the reader, the range checks, the command line, `heed
 * config`, docs/config.md, the resolved copy in every file and the tests of bad input are all made from these rows. To
 * add a setting, add a member to heed_config and a row below.
 *
 * The defaults are the recipe of configs/whale.ini. */
#include "table.h"

#define KEY(section, name) .key = #section "." #name, .offset = offsetof(heed_config, section.name)
#define INT(section, name, default_, min_, max_)                                                                       \
    KEY(section, name), .type = HEEDI_INT, .initial = #default_, .min = min_, .max = max_
#define REAL(section, name, default_, low_, high_)                                                                     \
    KEY(section, name), .type = HEEDI_REAL, .initial = #default_, .low = low_, .high = high_
#define BOOL(section, name, default_) KEY(section, name), .type = HEEDI_BOOL, .initial = #default_
#define CHOICE(section, name, default_, choices_)                                                                      \
    KEY(section, name), .type = HEEDI_CHOICE, .initial = #default_, .choices = choices_
#define TEXT(section, name, default_) KEY(section, name), .type = HEEDI_TEXT, .initial = default_

#define MAX_STEPS 1000000000 /* a step number fits 32 bits */
#define MAX_SIDE 1048576     /* of any one dimension; what fits into memory is found out when it is asked for */

/* clang-format off */
const heedi_field heedi_fields[] = {
    {TEXT(run, dir, ""), .resumable = true, .unit = "",
     .meaning = "folder that the run lives in; empty: runs/ and the config file's name without its ending"},
    {INT(run, seed, 1, 0, INT64_MAX), .unit = "",
     .meaning = "of everything random: initial weights, order of the data, dropout"},

    {CHOICE(model, kind, decoder, "decoder|encoder_decoder"), .unit = "",
     .meaning = "decoder: each token sees those before it (GPT-2's family); encoder_decoder: and all of the source that it answers, through "
                "an encoder (Vaswani et al. 2017); needs data that comes in pairs"},
    {INT(model, layers, 4, 1, 1024), .unit = "",
     .meaning = "transformer blocks, one on top of the other"},
    {INT(model, encoder_layers, 0, 0, 1024), .unit = "",
     .meaning = "blocks of the encoder of an encoder_decoder; 0: as many as model.layers"},
    {INT(model, heads, 4, 1, 1024), .unit = "",
     .meaning = "attention heads in each block; they share the width, which must be a multiple of this"},
    {INT(model, width, 128, 1, MAX_SIDE), .unit = "",
     .meaning = "numbers that stand for one token between blocks"},
    {INT(model, hidden, 0, 0, MAX_SIDE), .unit = "",
     .meaning = "width of the feed-forward layer inside each block; 0: 4 times model.width"},
    {INT(model, time, 64, 1, MAX_SIDE), .unit = "tokens",
     .meaning = "context: how far back a token can look"},
    {CHOICE(model, attention, softmax, "softmax|uniform|position|content|random|window|none|mlp"), .unit = "",
     .meaning = "what decides where a token looks. softmax: queries and keys; uniform: all it sees equally; position: a learned table of "
                "places; content: queries and keys of tokens alone, without places; random: queries and keys that stay as initialised; "
                "window: the last model.window tokens; none: itself alone; mlp: no attention, but a feed-forward layer over all tokens"},
    {CHOICE(model, encoder_attention, same, "same|softmax|uniform|random|none"), .unit = "",
     .meaning = "the same of an encoder_decoder's encoder, where it is to differ. none: each token of the source itself alone, so that its "
                "place in the encoder's output is its place in the source"},
    {INT(model, window, 0, 0, MAX_SIDE), .unit = "tokens",
     .meaning = "that model.attention = window sees, the present one among them; 0: a quarter of model.time"},
    {CHOICE(model, positions, learned, "learned|sinusoidal|rotary|none"), .unit = "",
     .meaning = "how the model knows where a token stands: a learned table, fixed sines (Vaswani et al. 2017), rotated queries and "
                "keys (Su et al. 2021), or not at all"},
    {BOOL(model, scale_embeddings, no), .unit = "",
     .meaning = "yes: token embeddings are multiplied by the square root of model.width (Vaswani et al. 2017)"},
    {CHOICE(model, norm, pre, "pre|post"), .unit = "",
     .meaning = "where layer norm stands. pre: ahead of attention and of the feed-forward layer, and once more at the end (GPT-2); post: "
                "behind the sum of each with what it read (Vaswani et al. 2017)"},
    {REAL(model, norm_eps, 1e-5, 0, 1), .above_low = true, .unit = "",
     .meaning = "added to the variance in layer norm"},
    {CHOICE(model, activation, gelu, "gelu|gelu_tanh|relu"), .unit = "",
     .meaning = "in the feed-forward layer: GELU (exact, by erf), GELU by tanh (GPT-2's), or ReLU"},
    {REAL(model, dropout, 0, 0, 1), .below_high = true, .unit = "",
     .meaning = "share of values that is set to zero in training"},
    {BOOL(model, tied, yes), .unit = "",
     .meaning = "yes: the output layer uses the token embedding's weights, and so does the encoder where sources and targets have one "
                "vocabulary"},
    {BOOL(model, bias, no), .unit = "",
     .meaning = "yes: linear layers and layer norms have biases"},
    {CHOICE(model, init, gpt2, "gpt2|xavier|uniform_fan_in"), .unit = "",
     .meaning = "initial weights. gpt2: normal of model.init_std, less for what is added to the residual; xavier: matrices uniform "
                "by inputs and outputs (Glorot and Bengio 2010), tables normal of model.init_std; uniform_fan_in: PyTorch's "
                "defaults, matrices uniform by inputs, tables normal of 1"},
    {REAL(model, init_std, 0.02, 0, 10), .above_low = true, .unit = "",
     .meaning = "standard deviation of initial weights, where model.init leaves it open"},

    {TEXT(data, text, ""), .unit = "",
     .meaning = "text file to learn, UTF-8; training prepares it by itself"},
    {TEXT(data, pairs, ""), .unit = "",
     .meaning = "instead of a text: file of pairs to learn the second from the first, UTF-8, on each line a source, a tab and a target; for "
                "model.kind = encoder_decoder"},
    {TEXT(data, store, ""), .resumable = true, .unit = "",
     .meaning = "token store made by `heed prepare`; empty: tokens.h5 in run.dir"},
    {CHOICE(data, tokenizer, char, "char|byte|word|bpe"), .unit = "",
     .meaning = "a token is a character (Unicode code point), a byte, a word between white space, or what byte pairs were joined to (learned "
                "from the text; Sennrich et al. 2016)"},
    {CHOICE(data, source_tokenizer, same, "same|char|byte|word|bpe"), .unit = "",
     .meaning = "pairs: what a token of the source is; same: as data.tokenizer says, which holds for targets"},
    {BOOL(data, joint, no), .unit = "",
     .meaning = "pairs: yes: one vocabulary for sources and targets, no: one for each"},
    {INT(data, vocab, 4096, 256, 1000000), .unit = "tokens",
     .meaning = "bpe: size of a vocabulary, the 256 bytes among them; fewer when no pair occurs twice any more"},
    {REAL(data, valid_share, 0.1, 0, 1), .above_low = true, .below_high = true, .unit = "",
     .meaning = "share that is kept from training and used to validate: of a text its end, of pairs those whose sources have the least digests"},
    {CHOICE(data, task, none, "none|copy|reverse|shift|sort|recall|induction|markov|permutation40|permutation40of60|tree|noise"),
     .unit = "",
     .meaning = "train on a generated task with known truth and known best loss instead of a text"},
    {INT(data, task_length, 0, 0, 65536), .unit = "tokens",
     .meaning = "of the task's list, or of its sequence where there is no list; 0: the task's usual length"},
    {INT(data, task_symbols, 0, 0, 65536), .unit = "",
     .meaning = "different symbols that the task draws from (recall: keys, and as many values); 0: the task's usual number"},
    {INT(data, task_pairs, 0, 0, 16384), .unit = "",
     .meaning = "recall: pairs of key and value in a sequence; 0: 8"},
    {INT(data, task_queries, 0, 0, 32768), .unit = "",
     .meaning = "recall: queries in a sequence, each for one of its pairs; 0: as many as pairs"},
    {INT(data, task_fillers, 0, 0, 65536), .unit = "",
     .meaning = "recall: different symbols that the filler between pairs and queries is drawn from; 0: 1, the same everywhere"},
    {INT(data, task_valid, 1024, 1, MAX_STEPS), .unit = "sequences",
     .meaning = "of a task to validate with; none of them is trained on"},

    {INT(train, steps, 2000, 1, MAX_STEPS), .resumable = true, .unit = "steps",
     .meaning = "how long to train"},
    {INT(train, batch, 16, 1, MAX_SIDE), .unit = "sequences",
     .meaning = "sequences in a step, over all ranks together"},
    {INT(train, grain, 0, 0, MAX_SIDE), .unit = "sequences",
     .meaning = "the unit of work that ranks share: at most batch / grain ranks can take part; train.batch must be a multiple of this; "
                "0: an eighth of the batch, or the next smaller size that divides it"},
    {CHOICE(train, optimizer, adamw, "adamw|sgd"), .unit = "",
     .meaning = "AdamW (Loshchilov and Hutter 2019) or stochastic gradient descent with momentum"},
    {REAL(train, beta1, 0.9, 0, 1), .below_high = true, .unit = "",
     .meaning = "AdamW: memory of the gradient's mean"},
    {REAL(train, beta2, 0.99, 0, 1), .below_high = true, .unit = "",
     .meaning = "AdamW: memory of the gradient's square"},
    {REAL(train, eps, 1e-8, 0, 1), .above_low = true, .unit = "",
     .meaning = "AdamW: added to the root of the gradient's square"},
    {REAL(train, momentum, 0.9, 0, 1), .below_high = true, .unit = "",
     .meaning = "SGD: share of the last update that is kept"},
    {REAL(train, weight_decay, 0.1, 0, 10), .unit = "",
     .meaning = "pull of weight matrices towards zero, times the learning rate; never on vectors"},
    {CHOICE(train, schedule, cosine, "constant|linear|cosine|inverse_sqrt|wsd"), .unit = "",
     .meaning = "course of the learning rate after warm-up; wsd: constant, then linear over the last train.decay steps"},
    {REAL(train, peak_lr, 1e-3, 0, 1000), .unit = "",
     .meaning = "learning rate at the end of warm-up"},
    {REAL(train, final_lr, 1e-4, 0, 1000), .unit = "",
     .meaning = "learning rate at the end of linear, cosine and wsd"},
    {INT(train, warmup, 100, 0, MAX_STEPS), .unit = "steps",
     .meaning = "over which the learning rate first rises from zero"},
    {INT(train, decay, 0, 0, MAX_STEPS), .unit = "steps",
     .meaning = "length of the last phase of wsd"},
    {REAL(train, clip, 1.0, 0, 1e9), .unit = "",
     .meaning = "longest gradient (norm over all weights); a longer one is scaled down to it; 0: off"},
    {REAL(train, label_smoothing, 0, 0, 1), .below_high = true, .unit = "",
     .meaning = "share of the target's probability that is spread over the whole vocabulary in training (Szegedy et al. 2016); evaluation "
                "goes without"},
    {CHOICE(train, on_nonfinite, stop, "stop|skip|rollback"), .resumable = true, .unit = "",
     .meaning = "when the loss or a gradient is NaN or infinite. stop: training ends; skip: the step changes nothing; rollback: training goes "
                "back to the last checkpoint, and the step changes nothing when it fails again"},
    {REAL(train, spike_z, 0, 0, 1e6), .unit = "",
     .meaning = "a step whose loss lies more than so many standard deviations above the mean of the last train.spike_window losses changes "
                "nothing; 0: off"},
    {INT(train, spike_window, 100, 2, 1024), .unit = "steps",
     .meaning = "that train.spike_z looks back"},
    {INT(train, verify_every, 0, 0, MAX_STEPS), .resumable = true, .unit = "steps",
     .meaning = "between steps at whose end each rank takes digests of its parameters and moments, to find in the next one whether its memory "
                "changed by itself; 0: off"},
    {CHOICE(train, on_corruption, heal, "stop|heal"), .resumable = true, .unit = "",
     .meaning = "when it did. stop: training ends and names the rank; heal: parameters are copied from a sound rank, or where there is none "
                "training goes back to the last checkpoint"},
    {CHOICE(train, recompute, none, "none|attention|block"), .resumable = true, .unit = "",
     .meaning = "what the backward pass computes again instead of keeping it: nothing, the attention of every block, or whole blocks; "
                "saves memory, costs time, changes no bit"},
    {INT(train, threads, 0, 0, 4096), .resumable = true, .unit = "threads a rank",
     .meaning = "0: the node's cores divided by the ranks on it"},
    {REAL(train, watchdog, 600, 0, 1e6), .resumable = true, .unit = "s",
     .meaning = "within which all ranks end when one is lost or hangs; it must be longer than the longest part of a step; 0: off"},
    {TEXT(train, walltime, "slurm"), .resumable = true, .unit = "s",
     .meaning = "that the run has from its start, a number or [days-]hours:minutes:seconds: it saves and ends in time with status 75; slurm: until "
                "SLURM_JOB_END_TIME (Unix time, set by SLURM or by the job script), if there is one; 0: no end"},
    {TEXT(train, init_from, ""), .unit = "",
     .meaning = "checkpoint whose weights a new run starts from; empty: random weights"},

    {INT(eval, every, 250, 0, MAX_STEPS), .resumable = true, .unit = "steps",
     .meaning = "between measurements of the validation loss; 0: only at the end"},
    {INT(eval, batches, 0, 0, MAX_STEPS), .resumable = true, .unit = "batches",
     .meaning = "that a measurement covers; 0: all of the validation text"},

    {INT(log, metrics_every, 1, 1, MAX_STEPS), .resumable = true, .unit = "steps",
     .meaning = "between lines of metrics.jsonl and timing.jsonl"},
    {INT(log, attention_every, 100, 0, MAX_STEPS), .resumable = true, .unit = "steps",
     .meaning = "between attention logs; 0: off"},
    {TEXT(log, probes, "2"), .resumable = true, .unit = "",
     .meaning = "sequences whose attention is logged: a number of validation sequences, or a text file with one a line"},

    {INT(checkpoint, every, 250, 0, MAX_STEPS), .resumable = true, .unit = "steps",
     .meaning = "between checkpoints; 0: only at the end"},
    {INT(checkpoint, keep, 3, 1, MAX_STEPS), .resumable = true, .unit = "",
     .meaning = "newest checkpoints that are kept, beside the best by validation loss"},
    {INT(checkpoint, phase_every, 0, 0, MAX_STEPS), .resumable = true, .unit = "steps",
     .meaning = "between further checkpoints, which stay where a phase change of the attention log is marked and go elsewhere; 0: none"},

    {TEXT(controls, variants, "softmax uniform position content random window none mlp"), .resumable = true, .unit = "",
     .meaning = "heed controls: names of model.attention that are trained beside each other"},
    {INT(controls, runs, 5, 1, 1000), .resumable = true, .unit = "",
     .meaning = "heed controls: runs of each variant; their seeds are run.seed and those that follow it"},
    {INT(controls, groups, 0, 0, MAX_SIDE), .resumable = true, .unit = "",
     .meaning = "heed controls: runs at a time, each on its share of the ranks; 0: as many as there are ranks"},

    {CHOICE(expect, verdict, any, "any|none|bag|position|context"), .resumable = true, .unit = "",
     .meaning = "heed controls: the verdict that was expected before the runs; another one ends with a status of its own; any: none was"},
};
/* clang-format on */

const size_t heedi_n_fields = sizeof heedi_fields / sizeof *heedi_fields;
_Static_assert(sizeof heedi_fields / sizeof *heedi_fields <= HEED_CONFIG_MAX_FIELDS, "raise HEED_CONFIG_MAX_FIELDS");

/* Settings that are each in range but do not go together, and values that stand for others. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

/* How deliberately a field was set: the command line above a file above a default. */
static int weight(const heed_config *config, size_t field) {
    const int line = config->origin.line[field];
    return line == HEEDI_BY_COMMAND_LINE ? 3 : line > 0 ? 2 : line == HEEDI_BY_EARLIER_TEXT ? 1 : 0;
}

/* Of two keys that clash, the one to name in the message: first, unless second was set more deliberately. */
static const char *blamed(const heed_config *config, const char *first, const char *second) {
    return weight(config, heedi_field_find(second)) > weight(config, heedi_field_find(first)) ? second : first;
}

__attribute__((format(printf, 4, 5))) static heed_status clash(const heed_config *config, heed_error *error,
                                                               const char *key, const char *format, ...) {
    const size_t field = heedi_field_find(key);
    HEED_CHECK(field < heedi_n_fields);
    char place[HEEDI_PLACE_MAX], value[HEEDI_VALUE_MAX], shown[128], what[384];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    heedi_field_place(config, field, place);
    heedi_field_format(&heedi_fields[field], config, value);
    heedi_config_show(shown, sizeof shown, value, strlen(value));
    return heed_fail(error, HEED_CONFIG, "%s: %s = %s: %s", place, key, shown, what);
}

static int64_t int_of(const heed_config *config, const char *key) {
    return *(const int64_t *)((const char *)config + heedi_fields[heedi_field_find(key)].offset);
}

static heed_status hint_two(heed_error *error, int64_t below, int64_t above) {
    if (below < 1)
        return heed_hint(error, "try %" PRId64, above);
    if (above < 1)
        return heed_hint(error, "try %" PRId64, below);
    return heed_hint(error, "try %" PRId64 " or %" PRId64, below, above);
}

/* The key of `part` divides the key of `whole`. The hint has the nearest values that would do. */
static heed_status check_divides(const heed_config *config, const char *part_key, const char *whole_key,
                                 heed_error *error) {
    const int64_t part = int_of(config, part_key), whole = int_of(config, whole_key);
    if (whole % part == 0)
        return HEED_OK;
    if (blamed(config, part_key, whole_key) == whole_key) {
        clash(config, error, whole_key, "not a multiple of %s = %" PRId64, part_key, part);
        return hint_two(error, whole - whole % part, whole - whole % part + part);
    }
    int64_t below = part < whole ? part : whole, above = part;
    while (whole % below != 0)
        below--;
    while (above <= whole && whole % above != 0)
        above++;
    clash(config, error, part_key, "%s %" PRId64 " is not divisible by it", strchr(whole_key, '.') + 1, whole);
    return hint_two(error, below, above <= whole ? above : 0);
}

static heed_status check_heads(const heed_config *config, heed_error *error) {
    return check_divides(config, "model.heads", "model.width", error);
}

static heed_status check_grain(const heed_config *config, heed_error *error) {
    return config->train.grain == 0 ? HEED_OK : check_divides(config, "train.grain", "train.batch", error);
}

static heed_status check_rotary(const heed_config *config, heed_error *error) {
    const int64_t heads = config->model.heads, head_width = config->model.width / heads;
    if (config->model.positions != HEED_ROTARY || head_width % 2 == 0)
        return HEED_OK;
    clash(config, error, blamed(config, "model.positions", "model.width"),
          "rotary positions turn pairs of numbers, but model.width / model.heads = %" PRId64 " is odd", head_width);
    return heed_hint(error, "try model.width=%" PRId64, heads * (head_width + 1));
}

/* The network has one hidden layer, and no heads to log. */
static heed_status check_network(const heed_config *config, heed_error *error) {
    if (config->model.attention != HEED_ATTEND_MLP)
        return HEED_OK;
    if (config->model.layers > 1) {
        clash(config, error, blamed(config, "model.attention", "model.layers"),
              "the network without attention has one layer");
        return heed_hint(error, "try model.layers=1, and model.hidden for its size");
    }
    if (config->log.attention_every == 0)
        return HEED_OK;
    clash(config, error, blamed(config, "model.attention", "log.attention_every"), "there is no attention to log");
    return heed_hint(error, "try log.attention_every=0");
}

/* What a variant leaves out is told for tokens that see those before them. */
static heed_status check_sources(const heed_config *config, heed_error *error) {
    const heed_attend attention = config->model.attention;
    if (config->model.kind != HEED_ENCODER_DECODER || attention == HEED_ATTEND_SOFTMAX ||
        attention == HEED_ATTEND_UNIFORM || attention == HEED_ATTEND_RANDOM)
        return HEED_OK;
    clash(config, error, blamed(config, "model.attention", "model.kind"),
          "only softmax, uniform and random attention are there for an encoder_decoder");
    return heed_hint(error, "try model.attention=softmax, or model.kind=decoder");
}

static heed_status check_encoder(const heed_config *config, heed_error *error) {
    const bool has_layers = config->model.encoder_layers != 0;
    if (config->model.kind == HEED_ENCODER_DECODER ||
        (!has_layers && config->model.encoder_attention == HEED_ENCODER_AS_DECODER))
        return HEED_OK;
    const char *key = has_layers ? "model.encoder_layers" : "model.encoder_attention";
    clash(config, error, blamed(config, key, "model.kind"), "a decoder has no encoder");
    return heed_hint(error, "try model.kind=encoder_decoder, or %s=%s", key, has_layers ? "0" : "same");
}

static heed_status check_rates(const heed_config *config, heed_error *error) {
    const heed_schedule_kind schedule = config->train.schedule;
    const bool uses_final = schedule == HEED_LINEAR || schedule == HEED_COSINE || schedule == HEED_WSD;
    const double peak = config->train.peak_lr, final = config->train.final_lr;
    if (!uses_final || final <= peak)
        return HEED_OK;
    if (strcmp(blamed(config, "train.final_lr", "train.peak_lr"), "train.final_lr") == 0)
        clash(config, error, "train.final_lr", "above train.peak_lr = %g", peak);
    else
        clash(config, error, "train.peak_lr", "below train.final_lr = %g", final);
    return heed_hint(error, "try train.final_lr=%g", peak / 10);
}

static heed_status check_phases(const heed_config *config, heed_error *error) {
    const int64_t warmup = config->train.warmup, decay = config->train.decay, steps = config->train.steps;
    if (config->train.schedule != HEED_WSD || warmup + decay <= steps)
        return HEED_OK;
    clash(config, error, blamed(config, "train.decay", "train.steps"),
          "train.warmup %" PRId64 " and train.decay %" PRId64 " together are longer than train.steps %" PRId64, warmup,
          decay, steps);
    return heed_hint(error, "raise train.steps or shorten the phases");
}

/* Phase changes are found in the attention log. */
static heed_status check_phase_every(const heed_config *config, heed_error *error) {
    if (config->checkpoint.phase_every == 0 || config->log.attention_every > 0)
        return HEED_OK;
    clash(config, error, blamed(config, "checkpoint.phase_every", "log.attention_every"),
          "phase changes are found in the attention log, which is off");
    return heed_hint(error, "set log.attention_every, or checkpoint.phase_every=0");
}

static heed_status check_probes(const heed_config *config, heed_error *error) {
    const char *probes = config->log.probes;
    const size_t length = strlen(probes);
    if (length && strspn(probes, "+-0123456789") < length)
        return HEED_OK; /* a file */
    heed_config copy = *config;
    const heedi_field number = {.type = HEEDI_INT, .offset = offsetof(heed_config, run.seed), .min = 1, .max = 4096};
    if (heedi_field_parse(&number, &copy, probes))
        return HEED_OK;
    clash(config, error, "log.probes", "expected a whole number from 1 to 4096, or a file");
    return heed_hint(error, "log.attention_every=0 switches attention logs off");
}

/* The keys that say what is learned, in the order in which messages name them, and whether each is set. */
enum { TASK, TEXT, PAIRS, N_SOURCES };
static const char *const source_keys[N_SOURCES] = {"data.task", "data.text", "data.pairs"};

static bool is_set(const heed_config *config, int source) {
    return source == TASK   ? config->data.task != HEED_NO_TASK
           : source == TEXT ? config->data.text[0] != 0
                            : config->data.pairs[0] != 0;
}

static heed_status clash_of_two(const heed_config *config, const char *first, const char *second, heed_error *error) {
    const char *key = blamed(config, first, second);
    clash(config, error, key, "%s is set too", strcmp(key, first) == 0 ? second : first);
    return heed_hint(error, "train on a generated task, on a text, or on pairs");
}

/* Data is one thing: a generated task, a text, or pairs. A store holds either of the latter. */
static heed_status check_one_source(const heed_config *config, heed_error *error) {
    for (int i = 0; i < N_SOURCES; i++)
        for (int j = i + 1; j < N_SOURCES; j++)
            if (is_set(config, i) && is_set(config, j))
                return clash_of_two(config, source_keys[i], source_keys[j], error);
    if (is_set(config, TASK) && config->data.store[0])
        return clash_of_two(config, "data.task", "data.store", error);
    return HEED_OK;
}

double heed_walltime_seconds(const char *text) {
    static const heedi_field number = {.type = HEEDI_REAL, .offset = offsetof(heed_config, train.clip), .high = 1e9};
    const size_t length = strlen(text);
    unsigned days = 0, hours = 0, minutes = 0, seconds = 0;
    heed_config one = {0};
    int end = 0;
    if (!strchr(text, ':'))
        return heedi_field_parse(&number, &one, text) ? one.train.clip : -1.0;
    if (strspn(text, "0123456789:-") != length || text[0] == '-') /* sscanf would take blanks and signs */
        return -1.0;
    if (sscanf(text, "%4u-%2u:%2u:%2u%n", &days, &hours, &minutes, &seconds, &end) == 4 && (size_t)end == length)
        return hours < 24 && minutes < 60 && seconds < 60 ? 86400.0 * days + 3600.0 * hours + 60.0 * minutes + seconds
                                                          : -1.0;
    end = 0;
    if (sscanf(text, "%6u:%2u:%2u%n", &hours, &minutes, &seconds, &end) == 3 && (size_t)end == length)
        return minutes < 60 && seconds < 60 ? 3600.0 * hours + 60.0 * minutes + seconds : -1.0;
    end = 0;
    if (sscanf(text, "%6u:%2u%n", &minutes, &seconds, &end) == 2 && (size_t)end == length)
        return seconds < 60 ? 60.0 * minutes + seconds : -1.0;
    return -1.0;
}

static heed_status check_walltime(const heed_config *config, heed_error *error) {
    if (strcmp(config->train.walltime, "slurm") == 0 || heed_walltime_seconds(config->train.walltime) >= 0.0)
        return HEED_OK;
    clash(config, error, "train.walltime", "expected a number of seconds, [days-]hours:minutes:seconds, or slurm");
    return heed_hint(error, "0: no end");
}

static heed_status check_pairs(const heed_config *config, heed_error *error) {
    if (!is_set(config, PAIRS) || config->model.kind != HEED_DECODER)
        return HEED_OK;
    clash(config, error, blamed(config, "data.pairs", "model.kind"), "a decoder reads no source");
    return heed_hint(error, "try model.kind=encoder_decoder");
}

static heed_status check_joint(const heed_config *config, heed_error *error) {
    const int source = (int)config->data.source_tokenizer - 1;
    if (!config->data.joint || config->data.source_tokenizer == HEED_SOURCE_AS_TARGET ||
        source == (int)config->data.tokenizer)
        return HEED_OK;
    clash(config, error, blamed(config, "data.joint", "data.source_tokenizer"),
          "a joint vocabulary cuts sources and targets in one way");
    return heed_hint(error, "try data.source_tokenizer=same, or data.joint=no");
}

static heed_status check_data(const heed_config *config, heed_error *error) {
    if (!config->origin.name[0] || config->data.store[0] || is_set(config, TASK) || is_set(config, TEXT) ||
        is_set(config, PAIRS))
        return HEED_OK;
    char name[HEEDI_PLACE_MAX];
    heedi_config_show(name, sizeof name, config->origin.name, strlen(config->origin.name));
    heed_fail(error, HEED_CONFIG, "%s: data.text and data.store are both empty: there is nothing to learn from", name);
    return heed_hint(error, "name a text file, for example data.text=book.txt");
}

/* Each rule with settings that break it, for the tests of bad input. */
static const struct {
    heed_status (*check)(const heed_config *config, heed_error *error);
    const char *breaker;
} rules[] = {
    {check_heads, "model.width=128 model.heads=5"},
    {check_grain, "train.batch=16 train.grain=3"},
    {check_rotary, "model.positions=rotary model.width=20 model.heads=4"},
    {check_network, "model.attention=mlp model.layers=2"},
    {check_sources, "model.kind=encoder_decoder model.attention=window"},
    {check_encoder, "model.kind=decoder model.encoder_layers=2"},
    {check_encoder, "model.kind=decoder model.encoder_attention=none"},
    {check_rates, "train.schedule=cosine train.peak_lr=1e-5 train.final_lr=1e-4"},
    {check_phases, "train.schedule=wsd train.steps=100 train.warmup=60 train.decay=50"},
    {check_phase_every, "log.attention_every=0 checkpoint.phase_every=10"},
    {check_probes, "log.probes=0"},
    {check_walltime, "train.walltime=1:60:00"},
    {check_data, "data.text= data.store="},
    {check_one_source, "data.task=copy data.text=book.txt"},
    {check_pairs, "data.pairs=book.tsv"},
    {check_joint, "data.joint=yes data.source_tokenizer=byte"},
};

size_t heedi_n_rules(void) {
    return sizeof rules / sizeof *rules;
}

const char *heedi_rule_breaker(size_t i) {
    return rules[i].breaker;
}

/* configs/whale.ini -> runs/whale */
static void name_run(heed_config *config) {
    const char *slash = strrchr(config->origin.name, '/');
    const char *name = slash ? slash + 1 : config->origin.name;
    const char *dot = strrchr(name, '.');
    const int length = dot && dot > name ? (int)(dot - name) : (int)strlen(name);
    snprintf(config->run.dir, sizeof config->run.dir, "runs/%.*s", length > 0 ? length : 4, length > 0 ? name : "heed");
}

bool heed_probes_are_counted(const heed_config *config, size_t *number) {
    char *end;
    *number = (size_t)strtol(config->log.probes, &end, 10);
    return end != config->log.probes && !*end;
}

size_t heed_encoder_layers(const heed_config *config) {
    const int64_t own = config->model.encoder_layers;
    return config->model.kind == HEED_DECODER ? 0 : (size_t)(own > 0 ? own : config->model.layers);
}

heed_status heed_config_resolve(heed_config *config, heed_error *error) {
    for (size_t i = 0; i < heedi_n_rules(); i++) {
        const heed_status status = rules[i].check(config, error);
        if (status != HEED_OK)
            return status;
    }
    if (!config->run.dir[0])
        name_run(config);
    if (config->model.hidden == 0)
        config->model.hidden = 4 * config->model.width;
    if (config->train.grain == 0) {
        config->train.grain = config->train.batch >= 8 ? config->train.batch / 8 : 1;
        while (config->train.batch % config->train.grain != 0)
            config->train.grain--;
    }
    return HEED_OK;
}

/* What users meet: files, overrides, messages, the resolved copy. */
#include "helpers.h"

#define CONFIGS HEED_SOURCE_DIR "/configs/"

static heed_config read_or_fail(const char *text) {
    heed_config config;
    heed_error error = NO_ERROR;
    heed_config_defaults(&config);
    if (heed_config_read_text(&config, "a.ini", text, &error) != HEED_OK)
        fail_msg("%s", error.message);
    return config;
}

static void forms_of_a_line(void **state) {
    (void)state;
    const heed_config config = read_or_fail("\xEF\xBB\xBF"
                                            "run.seed = 7\r\n"
                                            "  [model] ; comment\n"
                                            "\theads=8 # comment\n"
                                            "  width =   64   \n"
                                            "# whole line; = [x\n"
                                            "\n"
                                            "[data]\n"
                                            "text = a;b#c \xC3\xA9.txt\n"
                                            "store =\n"
                                            "[model]\n"
                                            "tied = off\n"
                                            "[log]\n"
                                            "probes = 3 ; no newline behind this");
    assert_int_equal(config.run.seed, 7);
    assert_int_equal(config.model.heads, 8);
    assert_int_equal(config.model.width, 64);
    assert_string_equal(config.data.text, "a;b#c \xC3\xA9.txt");
    assert_string_equal(config.data.store, "");
    assert_false(config.model.tied);
    assert_string_equal(config.log.probes, "3");
}

static void messages_name_place_and_remedy(void **state) {
    (void)state;
    assert_refused("[model]\n\nhaeds = 4\n", "a.ini:3: model.haeds: no such key", "did you mean model.heads?");
    assert_refused("[train]\nheads = 4\n", "a.ini:2: train.heads: no such key", "did you mean model.heads?");
    assert_refused("learning_rate = 4\n", "a.ini:1: learning_rate: no such key",
                   "`heed config` lists every key; the nearest is train.grain");
    assert_refused("[modle]\n", "a.ini:1: [modle]: no such section", "did you mean [model]?");
    assert_refused("[]\n", "a.ini:1: []: no such section", "did you mean [run]?");
    assert_refused("[model] x\n", "a.ini:1: [model] x: expected [section] alone on its line", "");
    assert_refused("\n[model\n", "a.ini:2: [model: expected [section] alone on its line", "");
    assert_refused("[model]\nheads 4\n", "a.ini:2: heads 4: expected [section] or key = value",
                   "`heed config` lists every key");
    assert_refused("= 4\n", "a.ini:1: = 4: expected [section] or key = value", "`heed config` lists every key");
    assert_refused("[model]\nheads = 4\n\nheads = 4\n",
                   "a.ini:4: model.heads: set a second time; line 2 has it already", "");
    assert_refused("[model]\nheads = 0\n", "a.ini:2: model.heads = 0: expected a whole number from 1 to 1024", "");
    assert_refused("[model]\ninit = gtp2\n", "a.ini:2: model.init = gtp2: expected gpt2, xavier or uniform_fan_in",
                   "did you mean gpt2?");
    assert_refused("[train]\nbeta1 = 1 ; too much\n", "a.ini:2: train.beta1 = 1: expected a number from 0 and below 1",
                   "");
    assert_refused("[run]\nseed = 1\x01\n", "a.ini:2: byte 9 is 0x01: a control character", "");
    assert_refused("[run]\n; caf\xE9\n", "a.ini:2: byte 6 is 0xe9: not UTF-8 text", "");
}

/* The first fault is the one that is told, and nothing behind it is read. */
static void first_fault_wins(void **state) {
    (void)state;
    assert_refused("[model]\nheads = x\nheads = y\n\xFF",
                   "a.ini:2: model.heads = x: expected a whole number from 1 to 1024", "");
}

static void overrides_win_and_are_checked_alike(void **state) {
    (void)state;
    heed_config config = read_or_fail("[model]\nheads = 8\n");
    heed_error error = NO_ERROR;
    assert_int_equal(heed_config_override(&config, "model.heads=2", &error), HEED_OK);
    assert_int_equal(config.model.heads, 2);
    assert_int_equal(heed_config_override(&config, "model.heads = 16", &error), HEED_OK);
    assert_int_equal(config.model.heads, 16);
    assert_int_equal(heed_config_override(&config, "data.text=", &error), HEED_OK);
    static const struct {
        const char *assignment, *message;
    } wrong[] = {
        {"model.heads", "command line: model.heads: expected section.key=value"},
        {"", "command line: : expected section.key=value"},
        {"# x", "command line: # x: expected section.key=value"},
        {"[model]", "command line: [model]: expected section.key=value"},
        {"heads=4", "command line: heads: no such key"},
        {"model.heads=4\nmodel.width=8", "command line: model.heads=4\\x0amodel.width=8: one setting at a time"},
        {"model.heads=four", "command line: model.heads = four: expected a whole number from 1 to 1024"},
        {"data.text=\xFF", "command line: byte 11 is 0xff: not UTF-8 text"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        error = NO_ERROR;
        assert_int_equal(heed_config_override(&config, wrong[i].assignment, &error), HEED_CONFIG);
        assert_string_equal(error.message, wrong[i].message);
        assert_one_line(&error);
    }
    assert_int_equal(config.model.heads, 16);
}

static void assert_clash(const char *text, const char *assignment, const char *message, const char *hint) {
    heed_config config = read_or_fail(text);
    heed_error error = NO_ERROR;
    config.data.text[0] = 'x';
    if (assignment)
        assert_int_equal(heed_config_override(&config, assignment, &error), HEED_OK);
    assert_int_equal(heed_config_resolve(&config, &error), HEED_CONFIG);
    assert_string_equal(error.message, message);
    assert_string_equal(error.hint, hint);
}

/* As sbatch --time reads them, but that a number alone is one of seconds. */
static void walltimes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double seconds;
    } known[] = {{"90", 90},
                 {"0.5", 0.5},
                 {"0", 0},
                 {"01:30", 90},
                 {"1:30:00", 5400},
                 {"100:00:00", 360000},
                 {"2-01:00:03", 176403},
                 {"1:60:00", -1},
                 {"1:30:60", -1},
                 {"1-24:00:00", -1},
                 {"1:2:3:4", -1},
                 {"-1:30", -1},
                 {"1: 30", -1},
                 {"1:-30", -1},
                 {"1:30:", -1},
                 {"1-30", -1},
                 {"soon", -1},
                 {"", -1}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (heed_walltime_seconds(known[i].text) != known[i].seconds)
            fail_msg("%s is %g s", known[i].text, heed_walltime_seconds(known[i].text));
}

static void clashes_blame_the_key_set_most_deliberately(void **state) {
    (void)state;
    assert_clash("[model]\nheads = 5\n", NULL, "a.ini:2: model.heads = 5: width 128 is not divisible by it",
                 "try 4 or 8");
    assert_clash("[model]\nheads = 200\n", NULL, "a.ini:2: model.heads = 200: width 128 is not divisible by it",
                 "try 128");
    assert_clash("[model]\nwidth = 130\n", NULL, "a.ini:2: model.width = 130: not a multiple of model.heads = 4",
                 "try 128 or 132");
    assert_clash("[model]\nwidth = 3\n", NULL, "a.ini:2: model.width = 3: not a multiple of model.heads = 4", "try 4");
    assert_clash("[model]\nheads = 5\n", "model.width=128",
                 "command line: model.width = 128: not a multiple of model.heads = 5", "try 125 or 130");
    assert_clash("[train]\nbatch = 12\n", "train.grain=5",
                 "command line: train.grain = 5: batch 12 is not divisible by it", "try 4 or 6");
    assert_clash(
        "[model]\nwidth = 20\npositions = rotary\n", NULL,
        "a.ini:3: model.positions = rotary: rotary positions turn pairs of numbers, but model.width / model.heads "
        "= 5 is odd",
        "try model.width=24");
    assert_clash("", "train.peak_lr=5e-5", "command line: train.peak_lr = 5e-05: below train.final_lr = 0.0001",
                 "try train.final_lr=5e-06");
    assert_clash("train.final_lr=1\n", NULL, "a.ini:1: train.final_lr = 1: above train.peak_lr = 0.001",
                 "try train.final_lr=0.0001");
    assert_clash("train.schedule=wsd\ntrain.decay=1500\n", "train.steps=1599",
                 "command line: train.steps = 1599: train.warmup 100 and train.decay 1500 together are longer than "
                 "train.steps 1599",
                 "raise train.steps or shorten the phases");
    assert_clash("log.probes=-1\n", NULL, "a.ini:1: log.probes = -1: expected a whole number from 1 to 4096, or a file",
                 "log.attention_every=0 switches attention logs off");
}

/* Each rule's own example breaks it, and is refused by nothing that stands before the rules. */
static void every_rule_can_be_broken(void **state) {
    (void)state;
    for (size_t i = 0; i < heedi_n_rules(); i++) {
        heed_config config = read_or_fail("data.text=x\n");
        char assignments[256], *rest = assignments;
        snprintf(assignments, sizeof assignments, "%s", heedi_rule_breaker(i));
        heed_error error = NO_ERROR;
        for (char *one; (one = strsep(&rest, " "));)
            assert_int_equal(heed_config_override(&config, one, &error), HEED_OK);
        assert_int_equal(heed_config_resolve(&config, &error), HEED_CONFIG);
        assert_one_line(&error);
    }
}

static void resolving_fills_in_and_is_done_once(void **state) {
    (void)state;
    static const struct {
        int64_t batch, grain;
    } grains[] = {{1, 1}, {7, 1}, {8, 1}, {16, 2}, {12, 1}, {24, 3}, {27, 3}, {100, 10}, {31, 1}};
    for (size_t i = 0; i < sizeof grains / sizeof *grains; i++) {
        heed_config config;
        heed_config_defaults(&config);
        config.train.batch = grains[i].batch;
        assert_int_equal(heed_config_resolve(&config, NULL), HEED_OK);
        assert_int_equal(config.train.grain, grains[i].grain);
        assert_int_equal(config.model.hidden, 512);
        assert_string_equal(config.run.dir, "runs/heed");
        const heed_config once = config;
        assert_int_equal(heed_config_resolve(&config, NULL), HEED_OK);
        assert_memory_equal(&once, &config, sizeof config);
    }
    heed_config config;
    heed_error error = NO_ERROR;
    heed_config_defaults(&config);
    assert_int_equal(heed_config_read_text(&config, "some/where/my.own.ini", "data.text=x", &error), HEED_OK);
    assert_int_equal(heed_config_resolve(&config, &error), HEED_OK);
    assert_string_equal(config.run.dir, "runs/my.own");
}

static void shipped_configs_are_sound(void **state) {
    (void)state;
    static const char *const names[] = {"whale", "nanogpt-cpu", "S", "M"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        heed_config config;
        heed_error error = NO_ERROR;
        char path[2 * HEED_PATH_MAX];
        snprintf(path, sizeof path, CONFIGS "%s.ini", names[i]);
        heed_config_defaults(&config);
        if (heed_config_read_file(&config, path, &error) != HEED_OK || heed_config_resolve(&config, &error) != HEED_OK)
            fail_msg("%s", error.message);
        snprintf(path, sizeof path, HEED_SOURCE_DIR "/%s", config.data.text);
        FILE *text = fopen(path, "r");
        assert_non_null(text);
        fclose(text);
    }
}

/* The defaults are the whale's recipe: whoever names only a text gets it. The exception is what the file is there to
 * show. */
static void defaults_are_the_whale(void **state) {
    (void)state;
    heed_config whale, defaults;
    char key[64];
    heed_config_defaults(&defaults);
    heed_config_defaults(&whale);
    assert_int_equal(heed_config_read_file(&whale, CONFIGS "whale.ini", NULL), HEED_OK);
    snprintf(defaults.data.text, sizeof defaults.data.text, "%s", whale.data.text);
    defaults.train.grain = whale.train.grain;
    heed_config_compare(&whale, &defaults, key, sizeof key);
    assert_string_equal(key, "");
}

static void compare_names_the_first_key_that_matters(void **state) {
    (void)state;
    heed_config a, b;
    char key[64];
    heed_config_defaults(&a);
    b = a;
    b.train.steps++, b.train.threads++, b.eval.every++, b.checkpoint.keep++, b.run.dir[0] = 'x';
    heed_config_compare(&a, &b, key, sizeof key);
    assert_string_equal(key, "");
    b.train.beta2 = 0.99 + 1e-16; /* one bit */
    assert_true(b.train.beta2 != a.train.beta2);
    heed_config_compare(&a, &b, key, sizeof key);
    assert_string_equal(key, "train.beta2");
    b.model.tied = !b.model.tied;
    heed_config_compare(&a, &b, key, sizeof key);
    assert_string_equal(key, "model.tied");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_of_a_line),
        cmocka_unit_test(messages_name_place_and_remedy),
        cmocka_unit_test(first_fault_wins),
        cmocka_unit_test(overrides_win_and_are_checked_alike),
        cmocka_unit_test(walltimes),
        cmocka_unit_test(clashes_blame_the_key_set_most_deliberately),
        cmocka_unit_test(every_rule_can_be_broken),
        cmocka_unit_test(resolving_fills_in_and_is_done_once),
        cmocka_unit_test(shipped_configs_are_sound),
        cmocka_unit_test(defaults_are_the_whale),
        cmocka_unit_test(compare_names_the_first_key_that_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

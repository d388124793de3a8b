/* Checkpoints: read back bit for bit; the newest whole one is found; old ones go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "record/sample.h"

static bool is_there(const char *path) {
    return access(path, F_OK) == 0;
}

static void same_arenas(const sample *a, const sample *b) {
    const size_t bytes = a->params->n_elements * sizeof(real);
    assert_memory_equal(a->arenas.weights, b->arenas.weights, bytes);
    assert_memory_equal(a->arenas.m, b->arenas.m, bytes);
    assert_memory_equal(a->arenas.v, b->arenas.v, bytes);
}

static void clear(sample *s) {
    const size_t bytes = s->params->n_elements * sizeof(real);
    memset(s->arenas.weights, 0, bytes);
    memset(s->arenas.m, 0, bytes);
    memset(s->arenas.v, 0, bytes);
}

static void reads_back(void **unused) {
    (void)unused;
    for (int tied = 0; tied < 2; tied++) {
        sample written, found;
        heed_checkpoint_state state;
        heed_tokenizer *tokenizer;
        sample_create(&written, tied);
        sample_create(&found, tied);
        sample_fill(&written, 12);
        written.state.best_loss = 1.5;
        OK(heed_checkpoint_write("back", &written.state, &written.arenas, written.tokenizer, &error));
        clear(&found);
        OK(heed_checkpoint_read_state("back/step-00000012.h5", &state, &error));
        OK(heed_checkpoint_read("back/step-00000012.h5", &found.arenas, &tokenizer, &error));
        same_arenas(&written, &found);
        assert_int_equal(state.step, 12);
        assert_true(isnan(state.valid_loss));
        assert_true(state.best_loss == 1.5);
        assert_string_equal(state.config_text, written.state.config_text);
        assert_string_equal(state.data_digest, written.state.data_digest);
        assert_string_equal(state.kernel, "skx");
        assert_int_equal(heed_tokenizer_vocab(tokenizer), heed_tokenizer_vocab(written.tokenizer));
        heed_tokenizer_destroy(tokenizer);
        heed_checkpoint_state_reset(&state);
        sample_destroy(&written);
        sample_destroy(&found);
    }
}

static void cut_file(const char *path) {
    struct stat file;
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(truncate(path, file.st_size - 100), 0);
}

static void newest_passes_over_damage(void **unused) {
    (void)unused;
    sample s;
    char path[HEED_PATH_MAX];
    sample_create(&s, false);
    OK(heed_checkpoint_newest("newest", path, &error));
    assert_string_equal(path, "");
    for (uint64_t step = 90; step <= 110; step += 10) {
        sample_fill(&s, step);
        OK(heed_checkpoint_write("newest", &s.state, &s.arenas, s.tokenizer, &error));
    }
    fclose(fopen("newest/step-00000120.h5.tmp", "w"));
    fclose(fopen("newest/notes.tmp", "w"));
    OK(heed_checkpoint_newest("newest", path, &error));
    assert_string_equal(path, "newest/step-00000110.h5");
    assert_false(is_there("newest/step-00000120.h5.tmp"));
    assert_true(is_there("newest/notes.tmp"));
    cut_file("newest/step-00000110.h5");
    OK(heed_checkpoint_newest("newest", path, &error));
    assert_string_equal(path, "newest/step-00000100.h5");
    sample_destroy(&s);
}

static void writer_keeps_newest_and_best(void **unused) {
    (void)unused;
    static const double loss[] = {NAN, 3, 1, 2, 2, 2};
    sample s;
    heed_checkpoint_writer *writer;
    sample_create(&s, false);
    OK(heed_checkpoint_writer_create(&writer, "kept", 2, &error));
    for (uint64_t step = 0; step < 6; step++) {
        sample_fill(&s, step);
        s.state.valid_loss = loss[step];
        OK(heed_checkpoint_writer_start(writer, &s.state, &s.arenas, &no_figures, s.tokenizer, &error));
        OK(heed_checkpoint_writer_wait(writer, &error));
        assert_true(heed_checkpoint_writer_idle(writer));
    }
    assert_true(heed_checkpoint_writer_seconds(writer) > 0);
    heed_checkpoint_writer_destroy(writer);
    for (int step = 0; step < 6; step++) {
        char path[64];
        snprintf(path, sizeof path, "kept/step-%08d.h5", step);
        assert_int_equal(is_there(path), step == 2 || step >= 4);
    }
    sample_destroy(&s);
}

static void failed_save_is_told_once(void **unused) {
    (void)unused;
    sample s;
    heed_checkpoint_writer *writer;
    sample_create(&s, false);
    OK(heed_checkpoint_writer_create(&writer, "no/such/folder", 2, &error));
    OK(heed_checkpoint_writer_start(writer, &s.state, &s.arenas, &no_figures, s.tokenizer, &error));
    FAILS(HEED_CREATE, "no/such/folder", heed_checkpoint_writer_wait(writer, &error));
    OK(heed_checkpoint_writer_wait(writer, &error));
    heed_checkpoint_writer_destroy(writer);
    sample_destroy(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back),
        cmocka_unit_test(newest_passes_over_damage),
        cmocka_unit_test(writer_keeps_newest_and_best),
        cmocka_unit_test(failed_save_is_told_once),
    };
    if (system("rm -rf back newest kept") != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

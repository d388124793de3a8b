/* What an encoder-decoder makes of a source: heed generate on a run that learned from pairs. */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heed/search.h"

static heed_status answer_one(heedi_model *loaded, heed_search *search, const char *place, const char *text,
                              size_t n_bytes, heed_error *error) {
    const heed_tokenizer *target = loaded->tokenizer;
    const heed_tokenizer *of_source = loaded->source_tokenizer ? loaded->source_tokenizer : target;
    const size_t time = (size_t)loaded->config.model.time;
    int32_t *source;
    size_t n_source;
    if (heed_tokenizer_encode(of_source, place, text, n_bytes, &source, &n_source, error) != HEED_OK)
        return error->status;
    if (n_source == 0) {
        heed_fail(error, HEED_DATA, "%s: nothing to answer", place);
    } else if (n_source + 1 > time) {
        heed_fail(error, HEED_DATA, "%s: %zu tokens, but the model reads at most %zu", place, n_source, time - 1);
    } else {
        const int32_t *answer;
        char *written = NULL;
        size_t n, n_written;
        double score;
        source[n_source] = heed_tokenizer_mark(of_source, HEED_MARK_END); /* there is room for one token more */
        if (heed_search_run(search, source, n_source + 1, &answer, &n, &score, error) == HEED_OK &&
            heed_tokenizer_decode(target, answer, n, &written, &n_written, error) == HEED_OK) {
            fwrite(written, 1, n_written, stdout);
            putchar('\n');
            fflush(stdout);
        }
        free(written);
    }
    free(source);
    return error->status;
}

static heed_status answer_lines(heedi_model *loaded, heed_search *search, heed_error *error) {
    char *line = NULL, place[32];
    size_t room = 0, n = 0;
    ssize_t length = 0;
    while (error->status == HEED_OK && !ferror(stdout) && (length = getline(&line, &room, stdin)) >= 0) {
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            length--;
        snprintf(place, sizeof place, "standard input:%zu", ++n);
        answer_one(loaded, search, place, line, (size_t)length, error);
    }
    if (ferror(stdin))
        heed_fail(error, HEED_IO, "standard input: %s", strerror(errno));
    else if (n == 0) {
        heed_fail(error, HEED_USAGE, "generate: no source for %s to answer", loaded->path);
        heed_hint(error, "give it behind the run, or lines of them on standard input");
    }
    free(line);
    return error->status;
}

heed_status heedi_answer(heedi_model *loaded, char *const *sources, int n_sources, size_t beam, double length_penalty,
                         heed_error *error) {
    const heed_search_rule rule = {.beam = beam,
                                   .length_penalty = length_penalty,
                                   .begin = heed_tokenizer_mark(loaded->tokenizer, HEED_MARK_BEGIN),
                                   .end = heed_tokenizer_mark(loaded->tokenizer, HEED_MARK_END),
                                   .most = (size_t)loaded->config.model.time};
    heed_search *search;
    if (rule.begin < 0 || rule.end < 0)
        return heed_fail(error, HEED_DATA, "%s: its vocabulary has no marks for the begin and the end of an answer",
                         loaded->path);
    if (heed_search_create(&search, loaded->model, &rule, error) != HEED_OK)
        return error->status;
    for (int i = 0; i < n_sources && error->status == HEED_OK; i++)
        answer_one(loaded, search, "source", sources[i], strlen(sources[i]), error);
    if (n_sources == 0)
        answer_lines(loaded, search, error);
    heed_search_destroy(search);
    return error->status;
}

/* Reading a file of alignments, line by line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heed/word_alignment.h"

static const char white[] = " \t\n\v\f\r";

static size_t count_words(const char *text) {
    size_t n = 0;
    for (text += strspn(text, white); *text; text += strspn(text, white)) {
        text += strcspn(text, white);
        n++;
    }
    return n;
}

/* "3-4" or "3?4" */
static bool read_link(heed_word_link *link, const char *word) {
    static const char digits[] = "0123456789";
    const size_t n = strspn(word, digits), m = word[n] ? strspn(word + n + 1, digits) : 0;
    const bool is_link = n > 0 && n < 10 && (word[n] == '-' || word[n] == '?') && m > 0 && m < 10 && !word[n + 1 + m];
    if (is_link)
        *link = (heed_word_link){.source = (uint32_t)strtoul(word, NULL, 10),
                                 .target = (uint32_t)strtoul(word + n + 1, NULL, 10),
                                 .is_sure = word[n] == '-'};
    return is_link;
}

static bool is_linked(const heed_aligned_pair *pair, const heed_word_link *link) {
    for (size_t l = 0; l < pair->n_links; l++)
        if (pair->link[l].source == link->source && pair->link[l].target == link->target)
            return true;
    return false;
}

static heed_status read_links(heed_aligned_pair *pair, char *links, const char *path, heed_error *error) {
    char *rest = NULL;
    pair->link = calloc(count_words(links) + 1, sizeof *pair->link);
    if (!pair->link)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", path);
    for (char *word = strtok_r(links, white, &rest); word; word = strtok_r(NULL, white, &rest)) {
        heed_word_link link;
        if (!read_link(&link, word)) {
            heed_fail(error, HEED_DATA, "%s:%zu: '%.20s' is no link", path, pair->line, word);
            return heed_hint(error, "3-4 links word 3 of the source with word 4 of the target, 3?4 perhaps");
        }
        if (link.source >= pair->n_source || link.target >= pair->n_target)
            return heed_fail(error, HEED_DATA, "%s:%zu: link %.20s, but the pair has %zu and %zu words (from 0)", path,
                             pair->line, word, pair->n_source, pair->n_target);
        if (is_linked(pair, &link))
            return heed_fail(error, HEED_DATA, "%s:%zu: link %.20s is there twice", path, pair->line, word);
        pair->link[pair->n_links++] = link;
    }
    return HEED_OK;
}

static heed_status read_line(heed_aligned_pairs *pairs, char *line, size_t number, const char *path,
                             heed_error *error) {
    char *target = strchr(line, '\t'), *links = target ? strchr(target + 1, '\t') : NULL;
    if (!links || strchr(links + 1, '\t')) {
        heed_fail(error, HEED_DATA, "%s:%zu: not a source, a target and links with tabs between them", path, number);
        return heed_hint(error, "for example: the house<TAB>la casa<TAB>0-0 1-1");
    }
    heed_aligned_pair *grown = realloc(pairs->pair, (pairs->n + 1) * sizeof *grown);
    if (!grown)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", path);
    pairs->pair = grown;
    *target++ = *links++ = 0;
    heed_aligned_pair *pair = &grown[pairs->n++];
    *pair = (heed_aligned_pair){.source = strdup(line), .target = strdup(target), .line = number};
    if (!pair->source || !pair->target)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", path);
    pair->n_source = count_words(pair->source);
    pair->n_target = count_words(pair->target);
    if (pair->n_source == 0 || pair->n_target == 0)
        return heed_fail(error, HEED_DATA, "%s:%zu: a side without words", path, number);
    return read_links(pair, links, path, error);
}

heed_status heed_aligned_pairs_read(heed_aligned_pairs *pairs, const char *path, heed_error *error) {
    *pairs = (heed_aligned_pairs){0};
    FILE *file = fopen(path, "re");
    if (!file)
        return heed_fail(error, HEED_NOT_FOUND, "%s: %s", path, strerror(errno));
    char *line = NULL;
    size_t room = 0, number = 0;
    heed_status status = HEED_OK;
    while (status == HEED_OK && getline(&line, &room, file) >= 0) {
        number++;
        line[strcspn(line, "\r\n")] = 0;
        if (line[0] != '#' && line[strspn(line, white)])
            status = read_line(pairs, line, number, path, error);
    }
    if (status == HEED_OK && ferror(file))
        status = heed_fail(error, HEED_IO, "%s: %s", path, strerror(errno));
    if (status == HEED_OK && pairs->n == 0)
        status = heed_fail(error, HEED_DATA, "%s: no pair in it", path);
    free(line);
    fclose(file);
    return status;
}

void heed_aligned_pairs_reset(heed_aligned_pairs *pairs) {
    for (size_t p = 0; p < pairs->n; p++) {
        free(pairs->pair[p].source);
        free(pairs->pair[p].target);
        free(pairs->pair[p].link);
    }
    free(pairs->pair);
    *pairs = (heed_aligned_pairs){0};
}

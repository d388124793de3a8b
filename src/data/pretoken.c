#include "pretoken.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

struct heedi_pretokens {
    pcre2_code *code;
    pcre2_match_data *match;
};

/* Unicode's White_Space, written out: PCRE2's \s has U+180E besides. */
#define SPACES "\\t-\\r\\x20\\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"

static const char expression[] = "'s|'t|'re|'ve|'m|'ll|'d"
                                 "| ?\\p{L}+"
                                 "| ?\\p{N}+"
                                 "| ?[^" SPACES "\\p{L}\\p{N}]+"
                                 "|[" SPACES "]+(?![^" SPACES "])"
                                 "|[" SPACES "]+";

heed_status heedi_pretokens_create(heedi_pretokens **out, heed_error *error) {
    int number;
    size_t offset;
    heedi_pretokens *pretokens = *out = calloc(1, sizeof *pretokens);
    if (!pretokens)
        return heed_fail(error, HEED_MEMORY, "tokenizer: out of memory");
    pretokens->code = pcre2_compile((PCRE2_SPTR)expression, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &number, &offset, NULL);
    if (pretokens->code)
        pretokens->match = pcre2_match_data_create_from_pattern(pretokens->code, NULL);
    if (!pretokens->match)
        return heed_fail(error, HEED_MEMORY, "tokenizer: no memory for its regular expression");
    pcre2_jit_compile(pretokens->code, PCRE2_JIT_COMPLETE); /* where there is no compiler for this machine: slower */
    return HEED_OK;
}

void heedi_pretokens_destroy(heedi_pretokens *pretokens) {
    if (!pretokens)
        return;
    pcre2_match_data_free(pretokens->match);
    pcre2_code_free(pretokens->code);
    free(pretokens);
}

size_t heedi_pretokens_next(heedi_pretokens *pretokens, const char *text, size_t bytes, size_t at) {
    const int found = pcre2_match(pretokens->code, (PCRE2_SPTR)text, bytes, at, PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK,
                                  pretokens->match, NULL);
    HEED_CHECK(found > 0); /* every character is of some class */
    const PCRE2_SIZE *edge = pcre2_get_ovector_pointer(pretokens->match);
    HEED_CHECK(edge[0] == at && edge[1] > at);
    return edge[1] - at;
}

static int is_ascii_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

size_t heedi_pretokens_whole(const char *text, size_t bytes) {
    size_t end = bytes;
    while (end > 1) {
        end--;
        const char before = text[end - 1];
        if (is_ascii_space(text[end]) && !is_ascii_space(before) && (unsigned char)before < 0x80)
            return end;
    }
    return 0;
}

/* Text cut as GPT-2 cuts it: every cut goes forward, and where a piece of a text may end, the cuts are those of the
 * whole text. */
#include <stdlib.h>

#include "data/pretoken.h"
#include "data/utf8.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static heedi_pretokens *pretokens;
    heed_error error = HEED_ERROR_INIT;
    if (!pretokens)
        FUZZ_HOLDS(heedi_pretokens_create(&pretokens, &error) == HEED_OK);
    char *text = fuzz_text(data, bytes);
    bytes = heedi_utf8_ill_formed(text, bytes);
    const size_t whole = heedi_pretokens_whole(text, bytes);
    FUZZ_HOLDS(whole <= bytes);
    bool met = whole == 0;
    for (size_t at = 0; at < bytes;) {
        const size_t length = heedi_pretokens_next(pretokens, text, bytes, at);
        FUZZ_HOLDS(length > 0 && length <= bytes - at);
        at += length;
        met = met || at == whole;
    }
    FUZZ_HOLDS(met);
    free(text);
    return 0;
}

#include "tokens.h"

#include <string.h>

heed_type heedi_token_type(size_t vocab) {
    return vocab <= 1 << 8 ? HEED_TYPE_UINT8 : vocab <= 1 << 16 ? HEED_TYPE_UINT16 : HEED_TYPE_INT32;
}

void heedi_tokens_narrow(int32_t *tokens, heed_type type, size_t n) {
    unsigned char *bytes = (unsigned char *)tokens;
    const size_t width = heed_type_bytes(type);
    for (size_t i = 0; i < n && width < sizeof *tokens; i++) {
        const uint16_t token = (uint16_t)tokens[i];
        if (width == 1)
            bytes[i] = (unsigned char)token;
        else
            memcpy(bytes + 2 * i, &token, sizeof token);
    }
}

heed_status heedi_tokens_describe(heed_store *store, const char *name, size_t vocab, size_t *n, heed_error *error) {
    const char *path = heed_store_path(store);
    const heed_type type = heedi_token_type(vocab);
    heed_array array;
    const heed_status status = heed_store_describe(store, name, &array, error);
    if (status != HEED_OK)
        return status;
    if (array.n_dims != 1)
        return heed_fail(error, HEED_DATA, "%s: %s has %d dimensions: expected 1", path, name, array.n_dims);
    if (array.type != type)
        return heed_fail(error, HEED_DATA, "%s: %s is of type %s: expected %s for a vocabulary of %zu tokens", path,
                         name, heed_type_name(array.type), heed_type_name(type), vocab);
    *n = array.dims[0];
    return HEED_OK;
}

static void widen(int32_t *tokens, const void *stored, heed_type type, size_t count) {
    const uint8_t *bytes = stored;
    const uint16_t *words = stored;
    for (size_t i = 0; i < count; i++)
        tokens[i] = type == HEED_TYPE_UINT8 ? bytes[i] : words[i];
}

heed_status heedi_tokens_read(heed_store *store, const char *name, size_t vocab, size_t first, size_t count,
                              int32_t *tokens, heed_error *error) {
    const heed_type type = heedi_token_type(vocab);
    const bool wide = type == HEED_TYPE_INT32;
    uint16_t stored[4096];
    for (size_t done = 0, n; done < count; done += n) {
        const size_t left = count - done, room = sizeof stored / heed_type_bytes(type);
        n = wide || left < room ? left : room;
        const heed_status status = heed_store_read_rows(store, name, type, first + done, n,
                                                        wide ? (void *)(tokens + done) : (void *)stored, error);
        if (status != HEED_OK)
            return status;
        if (!wide)
            widen(tokens + done, stored, type, n);
        for (size_t i = done; i < done + n; i++)
            if (tokens[i] < 0 || (size_t)tokens[i] >= vocab)
                return heed_fail(error, HEED_DATA, "%s: %s[%zu] = %d: outside the vocabulary of %zu tokens",
                                 heed_store_path(store), name, first + i, tokens[i], vocab);
    }
    return HEED_OK;
}

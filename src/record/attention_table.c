#include "heed/attention_log.h"
#include "record/attention_log.h"

const heedi_netcdf_array heedi_log_table[HEEDI_LOG_N] = {
    {"step", HEED_TYPE_INT64, "s", "1", "training steps done"},
    {"probe", HEED_TYPE_INT64, "p", "1", "number of the probe sequence"},
    {"layer", HEED_TYPE_INT64, "l", "1", "number of the layer, from the input"},
    {"head", HEED_TYPE_INT64, "h", "1", "number of the attention head"},
    {"query", HEED_TYPE_INT64, "q", "1", "position of the token that attends"},
    {"key", HEED_TYPE_INT64, "k", "1", "position of the token that is attended to"},
    {"token_byte", HEED_TYPE_UINT8, "b", "1", "bytes of a token's text"},
    {"attention", HEED_TYPE_FLOAT32, "splhqk", "1", "attention weight a_ij"},
    {"advantage", HEED_TYPE_FLOAT32, "splhqk", "nat",
     "A_ij = g_i . (o_i - v_j): fall of the loss if the query drew this key's value alone, to first order"},
    {"credit", HEED_TYPE_FLOAT32, "splhqk", "nat", "c_ij = a_ij A_ij: minus the gradient of the loss by the score"},
#define ROW(name, text, unit, meaning) {text, HEED_TYPE_FLOAT64, "slh", unit, meaning},
    HEED_HEAD_STATISTIC_TABLE(ROW)
#undef ROW
        {"probe_length", HEED_TYPE_INT64, "p", "token", "tokens of the probe"},
    {"token", HEED_TYPE_INT32, "pq", "1", "number of the token; -1 past the probe's end"},
    {"target", HEED_TYPE_INT32, "pq", "1", "number of the token that follows; -1 past the probe's end"},
    {"token_text", HEED_TYPE_CHAR, "pqb", "1", "text of the token; bytes that are not UTF-8 as \\xNN"},
    {"key_length", HEED_TYPE_INT64, "p", "token", "tokens of the probe's source"},
    {"key_token", HEED_TYPE_INT32, "pk", "1", "number of the source's token; -1 past its end"},
    {"key_text", HEED_TYPE_CHAR, "pkb", "1", "text of the source's token; bytes that are not UTF-8 as \\xNN"},
};

static const char *const folders[HEED_N_ATTENTION_KINDS] = {
    [HEED_SELF_ATTENTION] = "attention",
    [HEED_ENCODER_ATTENTION] = "attention-encoder",
    [HEED_CROSS_ATTENTION] = "attention-cross",
};

const char *heed_attention_folder(heed_attention_kind kind) {
    return folders[kind];
}

int heedi_log_arrays(heed_attention_kind kind) {
    return kind == HEED_CROSS_ATTENTION ? HEEDI_LOG_N : HEEDI_LOG_KEY_LENGTH;
}

int heedi_log_shape(size_t dims[HEED_STORE_MAX_DIMS], size_t *n_elements, heedi_log_id id,
                    const heedi_log_sizes *sizes) {
    const char *letters = heedi_log_table[id].axes;
    int n_dims = 0;
    *n_elements = 1;
    for (; letters[n_dims]; n_dims++) {
        const char letter = letters[n_dims];
        const size_t size = letter == 's'   ? sizes->steps
                            : letter == 'p' ? sizes->probes
                            : letter == 'l' ? sizes->layers
                            : letter == 'h' ? sizes->heads
                            : letter == 'b' ? sizes->bytes
                                            : sizes->time;
        dims[n_dims] = size;
        *n_elements *= size;
    }
    return n_dims;
}

bool heedi_log_deflates(heedi_log_id id) {
    return id >= HEEDI_LOG_MAP && id < HEEDI_LOG_STATISTIC;
}

heed_status heedi_log_annotate(heed_store *store, heed_attention_kind kind, const char *config_text,
                               heed_error *error) {
    heed_status status = heed_store_write_kind(store, HEEDI_LOG_KIND, HEEDI_LOG_FORMAT, error);
    if (status == HEED_OK)
        status = heed_store_write_text(store, "/", "Conventions", "CF-1.8", error);
    if (status == HEED_OK)
        status = heed_store_write_text(store, "/", "title", "What the attention of a transformer learns", error);
    if (status == HEED_OK)
        status = heed_store_write_text(store, "/", "config", config_text, error);
    if (status == HEED_OK)
        status = heedi_netcdf_annotate(store, heedi_log_table, (size_t)heedi_log_arrays(kind), HEEDI_LOG_MAP, error);
    for (int id = HEEDI_LOG_MAP; id < HEEDI_LOG_STATISTIC && status == HEED_OK;
         id++) /* what xarray shall take as coordinates, not as data */
        status = heed_store_write_text(store, heedi_log_table[id].name, "coordinates",
                                       kind == HEED_CROSS_ATTENTION
                                           ? "probe_length token target token_text key_length key_token key_text"
                                           : "probe_length token target token_text",
                                       error);
    return status;
}

/* Attention as arrays, for looking at: not fast, but plain. */
#include "heed/gemm.h"
#include "heed/multiversion.h"
#include "heed/nn/attention.h"
#include "nn/attention_table.h"
#include "nn/softmax.h"

/* Keys [first, n_visible) are seen. */
HEED_MULTIVERSION static void softmax_row(real *score, size_t first, size_t n_visible, size_t n_keys) {
    real log_sum;
    const real scale = 1 / heedi_exp_row(score + first, n_visible - first, &log_sum);
    for (size_t j = 0; j < first; j++)
        score[j] = 0;
    for (size_t j = first; j < n_visible; j++)
        score[j] *= scale;
    for (size_t j = n_visible; j < n_keys; j++)
        score[j] = 0;
}

static size_t first_seen(const heed_attention *attention, size_t i) {
    return attention->window > 0 && i >= attention->window ? i + 1 - attention->window : 0;
}

void heed_attention_inspect(const heed_attention *attention, real *weights, real *advantage, real *credit,
                            const real *d_output, const real *output, const real *query, const real *key,
                            const real *value, const heed_ragged *query_rows, const heed_ragged *key_rows,
                            size_t sequence, size_t head) {
    const size_t length = heed_length(query_rows, sequence), n_keys = heed_length(key_rows, sequence);
    const size_t head_width = attention->head_width, width = attention->heads * head_width;
    const size_t column = head * head_width, row = query_rows->first_row[sequence];
    const size_t keys_at = key_rows->first_row[sequence] * attention->key_stride + column;
    if (length == 0 || n_keys == 0)
        return;
    if (attention->table)
        heedi_table_weights(attention, weights, head, length, n_keys);
    else
        heed_gemm(false, true, length, n_keys, head_width, attention->scale,
                  query + row * attention->query_stride + column, attention->query_stride, key + keys_at,
                  attention->key_stride, 0, weights, n_keys);
    for (size_t i = 0; i < length && !attention->table; i++)
        softmax_row(weights + i * n_keys, first_seen(attention, i),
                    attention->causal ? heedi_min(i + 1, n_keys) : n_keys, n_keys);
    real *gain = advantage ? advantage : credit;
    if (!gain)
        return;
    const real *g = d_output + row * width + column, *o = output + row * width + column;
    heed_gemm(false, true, length, n_keys, head_width, -1, g, width, value + keys_at, attention->key_stride, 0, gain,
              n_keys);
    for (size_t i = 0; i < length; i++) {
        const size_t n_visible = attention->causal ? heedi_min(i + 1, n_keys) : n_keys;
        real dot = 0;
        for (size_t c = 0; c < head_width; c++)
            dot = heedi_fma(g[i * width + c], o[i * width + c], dot);
        for (size_t j = 0; j < n_keys; j++) {
            const size_t at = i * n_keys + j;
            gain[at] = j < n_visible && j >= first_seen(attention, i) ? gain[at] + dot : 0;
            if (credit)
                credit[at] = weights[at] * gain[at];
        }
    }
}

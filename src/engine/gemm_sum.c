#include "engine/gemm_sum.h"

#include "base/sizes.h"
#include "heed/arena.h"

enum {
    MOST_LEVELS = 7, /* sums that wait at once for the rest of theirs, beside C: log2 of HEED_GEMM_MOST_PARTS and one */
    WANTED_SUM_K = 512 /* elements of k of a sum that are made at once, if it can be cut there */
};

/* As many parts as come to WANTED_SUM_K, but no fewer than leave one sum, which C keeps. */
bool heedi_sum_next(heedi_sum_block *b) {
    b->first = b->end;
    size_t k = 0, height = b->first > 0;
    for (size_t i = b->first; i < b->n_parts; i++) {
        k += b->parts[i].k;
        if (b->end > b->first && k > WANTED_SUM_K)
            break;
        height += 1 - b->parts[i].n_additions;
        if (height == 1) {
            b->k = k;
            b->end = i + 1;
        }
    }
    return b->end > b->first;
}

bool heedi_sum_takes(const heed_gemm_part *parts, size_t n_parts) {
    const size_t tile = heedi_kernel.left_width * heedi_kernel.right_width;
    if (n_parts > HEED_GEMM_MOST_PARTS || tile == 0 || tile > HEEDI_MOST_TILE)
        return false;
    size_t height = 0;
    for (size_t i = 0; i < n_parts; i++) {
        if (height > MOST_LEVELS)
            return false;
        height += 1 - parts[i].n_additions;
    }
    heedi_sum_block b = {.parts = parts, .n_parts = n_parts};
    while (heedi_sum_next(&b))
        if (b.k > HEEDI_MOST_K_BLOCKS * heedi_kernel.k_block)
            return false;
    return true;
}

/* A product that is added at once goes straight on to what it is added to, with our own tile twice: the kernel
 * completes it in registers first, so the bits are the same. */
void heedi_sum_tile(const heedi_sum_block *b, const heedi_tile_place *c, size_t rows, size_t columns,
                    heedi_tile_operands o, heedi_coming *soon) {
    const size_t most_joined = heedi_kernel.own ? 2 : 1;
    real memory[MOST_LEVELS * HEEDI_MOST_TILE] __attribute__((aligned(HEED_ALIGNMENT)));
    heedi_tile_place stack[MOST_LEVELS + 1] = {*c};
    for (size_t level = 0; level < MOST_LEVELS; level++)
        stack[level + 1] =
            (heedi_tile_place){&memory[level * HEEDI_MOST_TILE], heedi_kernel.likes_rows ? heedi_kernel.right_width : 1,
                               heedi_kernel.likes_rows ? 1 : heedi_kernel.left_width};
    size_t height = b->first > 0;
    for (size_t i = b->first; i < b->end; i++) {
        const heed_gemm_part part = b->parts[i];
        const size_t joined = part.k <= heedi_kernel.k_block ? heedi_min(part.n_additions, most_joined) : 0;
        const heedi_tile_place *to = &stack[height - joined];
        for (size_t q = 0; q < part.k; q += heedi_kernel.k_block) {
            heedi_tile_terms terms = {.first = joined > 0 || q > 0 ? to->at : NULL, .first_step = to->right};
            if (joined == 2)
                terms = (heedi_tile_terms){stack[height - 1].at, to->at, heedi_kernel.left_width, to->right};
            const heedi_ahead ahead = heedi_ask_for(soon);
            o.k = heedi_min(part.k - q, heedi_kernel.k_block);
            heedi_multiply_tile(to, rows, columns, 1, &o, &terms, &ahead);
            o.left += o.k * o.left_step;
            o.right.at += o.k * o.right.k_step;
        }
        height += 1 - joined;
        for (size_t j = joined; j < part.n_additions; j++, height--)
            heedi_add_tile(stack[height - 2], stack[height - 1], rows, columns);
    }
}

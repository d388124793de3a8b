/* A stack: embedding, blocks, and the last norm of a pre-norm model. A decoder is a stack whose tokens see those before
 * them; an encoder is one whose tokens see all. Internal to src/model. */
#ifndef HEEDI_STACK_H
#define HEEDI_STACK_H

#include "block.h"
#include "content.h"
#include "embedding.h"

typedef struct heedi_stack {
    heed_attention_kind kind; /* of its attention: self or encoder */
    bool crosses;             /* its blocks attend to sources */
    const char *prefix;       /* of its tensors' names */
    size_t n_blocks;
    heedi_block *blocks;
    heedi_embedding embedding;
    heedi_content content; /* of a variant whose queries and keys know no places */
    heedi_norm norm;       /* pre-norm alone */
    real *norm_y, *norm_mean, *norm_rstd;
    real *cosines, *sines; /* (time, head_width / 2), of rotary positions; else NULL */
    real *d_x;             /* (rows, width): gradient of the stream */
    heedi_pass pass;
} heedi_stack;

/* Rows of a stack's arrays, and what it is for. */
typedef struct heedi_stack_shape {
    size_t rows, source_rows;
    size_t hypotheses; /* to decode side by side; 0: none, as in an encoder */
    bool training;
} heedi_stack_shape;

/* Places all activations; kind, crosses, prefix, n_blocks, blocks and the embedding's vocab are set. scratch: of
 * attention, heedi_stack_scratch reals. With a placer that only counts, nothing else is done. */
void heedi_stack_place(heedi_stack *stack, heedi_placer *placer, const heed_config *config,
                       const heedi_stack_shape *shape, real *scratch);
size_t heedi_stack_scratch(const heed_config *config);

/* Finds the parameters and fills the tables of fixed positions. */
void heedi_stack_bind(heedi_stack *stack, const heed_params *params, const real *weights);

/* stack->pass has its batch, kind, rows, token, memory and new_tokens. Returns what comes out (rows, width). */
const real *heedi_stack_forward(heedi_stack *stack);
const real *heedi_stack_output(const heedi_stack *stack);

/* From d_y, the gradient of what came out, to the tables. */
void heedi_stack_backward(heedi_stack *stack, const real *d_y, heed_gradient *gradient);

#endif

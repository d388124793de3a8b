/* A branch of a block beside the residual stream, and the norm that goes with it: ahead of the branch, or behind the
 * sum.
 *
 *   pre    output = input + dropout(branch(norm(input)))      (Xiong et al. 2020, "On layer normalization ...")
 *   post   output = norm(input + dropout(branch(input)))      (Vaswani et al. 2017, section 5.4)
 *
 * A branch ends in a linear layer. Forward: read, the branch from there to what that layer reads, add. Backward: enter,
 * the branch from there back to pass->branch, leave. Internal to src/model. */
#ifndef HEEDI_RESIDUAL_H
#define HEEDI_RESIDUAL_H

#include "layer.h"

typedef struct heedi_residual {
    heedi_norm norm;
    uint32_t site;        /* keys dropout */
    real *input, *output; /* (rows, width): the stream before and behind; one array in a model that does not train */
    real *y;              /* (rows, width): pre: what norm makes of the input; post: the sum that it reads */
    real *mean, *rstd;    /* (rows) */
} heedi_residual;

/* Places all but the stream. */
void heedi_residual_place(heedi_residual *residual, heedi_placer *placer, size_t rows, size_t width);

/* Makes what the branch reads, and returns it. */
const real *heedi_residual_read(const heedi_pass *pass, const heedi_residual *residual);

/* The same again for backward, where it is there already. */
const real *heedi_residual_was_read(const heedi_pass *pass, const heedi_residual *residual);

/* The branch's end, linear(x), joins the stream, which becomes output; pass->branch is scratch. */
void heedi_residual_add(const heedi_pass *pass, const heedi_residual *residual, const heedi_linear *linear,
                        const real *x);

/* From d_x, the gradient of the output, to that of the branch's end, which is returned: d_x itself or pass->branch. */
const real *heedi_residual_enter(const heedi_pass *pass, const heedi_residual *residual, real *d_x);

/* pass->branch, the gradient of what the branch has read, joins d_x, which becomes the gradient of the input. */
void heedi_residual_leave(const heedi_pass *pass, const heedi_residual *residual, real *d_x);

#endif

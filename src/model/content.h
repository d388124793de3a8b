/* The tokens of a pass without their places, for attention whose queries and keys know no positions: c =
 * normalise(token embedding), the same for all layers. Queries and keys of every layer are W c + b, values W x + b as
 * usual: x may hold places, and what came of earlier layers, but scores depend on the two tokens alone. Internal to
 * src/model. */
#ifndef HEEDI_CONTENT_H
#define HEEDI_CONTENT_H

#include "layer.h"

struct heedi_content {
    real *token;       /* (rows, width): embeddings */
    real *y;           /* (rows, width): c */
    real *mean, *rstd; /* (rows) */
    real *ones;        /* (width): the norm has no gain of its own, as W has one */
    real *d_y;         /* (rows, width): summed over the layers; training alone */
};

void heedi_content_place(heedi_content *content, heedi_placer *placer, size_t rows, size_t width, bool training);

/* c of the pass's tokens, whose embeddings are scale * table (vocab, width). */
void heedi_content_forward(const heedi_pass *pass, const real *table, real scale);

/* d_x += gradient of the token embeddings through c. */
void heedi_content_backward(const heedi_pass *pass, real *d_x);

/* heads (rows, 3 width) = queries and keys from c, values from x, by the layer's projection. */
void heedi_content_project(const heedi_pass *pass, const heedi_linear *qkv, real *heads, const real *x);

/* The way back: d_x through the values (overwritten), d_y of the content through queries and keys (added to). */
void heedi_content_project_backward(const heedi_pass *pass, const heedi_linear *qkv, real *d_x, const real *d_heads,
                                    const real *x);

#endif

/* The one table of named tensors. Parameters, gradients and each optimizer moment are arenas that share its offsets;
 * the table also drives initialisation, weight decay, checkpoint names and tests. Nothing else lists tensors. */
#ifndef HEED_PARAMS_H
#define HEED_PARAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "heed/config.h"
#include "heed/real.h"
#include "heed/status.h"

/* The global gradient norm is a sum over fixed blocks of this many elements, and shards are cut at their bounds, so
 * that neither depends on the number of ranks. */
#define HEED_BLOCK 4096

typedef enum heed_tensor_role { /* decides initialisation and weight decay (matrices and tables only) */
                                HEED_ROLE_TABLE,    /* embeddings */
                                HEED_ROLE_MATRIX,   /* weights (out, in) */
                                HEED_ROLE_RESIDUAL, /* matrices that write to the residual stream: GPT-2 scales them by
                                                       1/sqrt(how many of them there are) */
                                HEED_ROLE_GAIN,     /* ones */
                                HEED_ROLE_BIAS      /* zeros */
} heed_tensor_role;

typedef struct heed_tensor {
    char name[64]; /* dotted: "block.3.attention.qkv.weight" */
    heed_tensor_role role;
    int n_dims;
    size_t dims[3];
    size_t size;     /* elements */
    size_t frozen;   /* of them, from the first on, are not trained: no gradient, no weight decay */
    size_t offset;   /* elements, in parameter, moment and reduced gradient arenas */
    size_t gradient; /* elements, in a gradient arena: offset, but for one use of a tied tensor */
    int tied_to;     /* index of the tensor whose parameters this row uses; -1 = its own. Each use has a gradient of its
                        own, to be added after reduction: one where the parameters are, the others behind all. */
} heed_tensor;

typedef struct heed_params {
    size_t n_tensors;
    heed_tensor *tensors;
    size_t n_elements; /* of the parameter arena, a multiple of HEED_BLOCK; gaps between tensors hold zeros for ever */
    size_t n_gradient; /* of a gradient arena: n_elements plus other uses, each of them a multiple of HEED_BLOCK */
    size_t n_parameters; /* true count, without gaps and tied rows */
    size_t n_trained;    /* the same without what is frozen */
} heed_params;

/* Table of a model. source_vocab: of the sources of an encoder-decoder, 0 when they share the vocabulary of the
 * targets. Tensor starts are 64-byte aligned; a tensor that is tied starts and ends at a HEED_BLOCK bound, so do the
 * rows tied to it. Order: embeddings, blocks from input to output, final norm, output; before them the encoder's, whose
 * names begin with "encoder.". Ownership: heed_params_destroy. */
heed_status heed_params_create(heed_params **params, const heed_config *config, size_t vocab, size_t source_vocab,
                               heed_error *error);
void heed_params_destroy(heed_params *params);

/* Index of a tensor by name, or -1. */
int heed_params_find(const heed_params *params, const char *name);

/* Fills a parameter arena by model.init and model.init_std, keyed by (run.seed, tensor index, element).
 *
 * gpt2: matrices and tables N(0, std), residual matrices N(0, std / sqrt(n)), n the number of branches of the stack: 2
 * a block, 3 with attention to sources (Radford et al. 2019).
 *
 * xavier: matrices U(-a, a), a = sqrt(6 / (in + out)), tables N(0, std) (Glorot and Bengio 2010).
 *
 * uniform_fan_in: matrices and their biases U(-a, a), a = 1 / sqrt(in), tables N(0, 1): PyTorch's defaults.
 *
 * init_std scales what the rule leaves open; gains are 1, other biases 0. */
void heed_params_init(const heed_params *params, real *weights, const heed_config *config);

#endif

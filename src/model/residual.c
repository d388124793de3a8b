#include "residual.h"

#include <string.h>

#include "add.h"
#include "heed/stage.h"

void heedi_residual_place(heedi_residual *residual, heedi_placer *placer, size_t rows, size_t width) {
    residual->y = heedi_place(placer, rows, width);
    residual->mean = heedi_place(placer, rows, 1);
    residual->rstd = heedi_place(placer, rows, 1);
}

static bool is_ahead(const heedi_pass *pass) {
    return pass->config->model.norm == HEED_PRE_NORM;
}

static size_t elements(const heedi_pass *pass) {
    return pass->rows->n_rows * (size_t)pass->config->model.width;
}

const real *heedi_residual_was_read(const heedi_pass *pass, const heedi_residual *residual) {
    return is_ahead(pass) ? residual->y : residual->input;
}

const real *heedi_residual_read(const heedi_pass *pass, const heedi_residual *residual) {
    if (is_ahead(pass))
        heedi_norm_forward(pass, &residual->norm, residual->y, residual->mean, residual->rstd, residual->input);
    return heedi_residual_was_read(pass, residual);
}

static void add(const heedi_pass *pass, real *sum, const real *x) {
    HEED_IN_STAGE(RESIDUAL);
    heedi_add(sum, x, pass->branch, elements(pass));
}

void heedi_residual_add(const heedi_pass *pass, const heedi_residual *residual, const heedi_linear *linear,
                        const real *x) {
    real *sum = is_ahead(pass) ? residual->output : residual->y;
    if (heedi_drops(pass) || sum == residual->input) {
        heedi_linear_forward(pass, linear, pass->branch, x);
        heedi_drop(pass, pass->branch, residual->site);
        add(pass, sum, residual->input);
    } else { /* the product joins the stream tile by tile */
        heedi_linear_forward_add(pass, linear, sum, residual->input, x);
    }
    if (!is_ahead(pass))
        heedi_norm_forward(pass, &residual->norm, residual->output, residual->mean, residual->rstd, residual->y);
}

const real *heedi_residual_enter(const heedi_pass *pass, const heedi_residual *residual, real *d_x) {
    if (!is_ahead(pass))
        heedi_norm_backward(pass, &residual->norm, d_x, d_x, residual->y, residual->mean, residual->rstd, false);
    if (!heedi_drops(pass))
        return d_x;
    memcpy(pass->branch, d_x, elements(pass) * sizeof(real));
    heedi_drop(pass, pass->branch, residual->site);
    return pass->branch;
}

void heedi_residual_leave(const heedi_pass *pass, const heedi_residual *residual, real *d_x) {
    if (is_ahead(pass))
        heedi_norm_backward(pass, &residual->norm, d_x, pass->branch, residual->input, residual->mean, residual->rstd,
                            true);
    else
        add(pass, d_x, d_x);
}

/* One head's map as a picture: the same drawing on a PNG, SVG or PDF surface of cairo's. Sizes are in points; a PNG has
 * PIXELS of them. */
#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <cairo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heed/attention_log.h"
#include "heed/report.h"
#include "record/attention_read.h"
#include "report/colours.h"
#include "report/maps.h"
#include "report/page.h"

#define CELL_SPACE 420.0 /* the side of the map */
#define PIXELS 3.0
enum { TEXT = 9, MARGIN = 10, BAR = 12, LONGEST_LABEL = 12 };

typedef struct drawing {
    const heed_figure *figure;
    heedi_log_reader log;
    uint64_t step;
    size_t n, n_keys; /* tokens of the probe that look, and that are looked at */
    float *map;       /* (time, time) of the head */
    bool is_signed;
    double largest;            /* what the ends of the colours stand for */
    char **label, **key_label; /* (n), (n_keys) */
    double gutter, key_gutter; /* room for the labels */
} drawing;

static void drawing_reset(drawing *d) {
    for (size_t i = 0; d->label && i < d->n; i++)
        free(d->label[i]);
    for (size_t j = 0; d->key_label && j < d->n_keys; j++)
        free(d->key_label[j]);
    free(d->label);
    free(d->key_label);
    free(d->map);
    heedi_log_reader_close(&d->log);
}

/* --- what is drawn ------------------------------------------------------------------------------------------------ */

static heed_status find_step(const drawing *d, size_t *index, heed_error *error) {
    const heedi_log_reader *log = &d->log;
    size_t nearest = log->n_logs - 1;
    *index = nearest;
    if (d->figure->step < 0)
        return HEED_OK;
    const uint64_t wanted = (uint64_t)d->figure->step;
    for (size_t i = log->n_logs; i-- > 0;) {
        const uint64_t far = log->step[i] > wanted ? log->step[i] - wanted : wanted - log->step[i];
        const uint64_t best = log->step[nearest] > wanted ? log->step[nearest] - wanted : wanted - log->step[nearest];
        nearest = far < best ? i : nearest;
    }
    *index = nearest;
    if (log->step[nearest] == wanted)
        return HEED_OK;
    heed_fail(error, HEED_NOT_FOUND, "%s: no log of step %llu", log->folder, (unsigned long long)wanted);
    return heed_hint(error, "the nearest is of step %llu", (unsigned long long)log->step[nearest]);
}

static heed_status check_place(const drawing *d, heed_error *error) {
    const heed_figure *f = d->figure;
    const struct {
        const char *what;
        size_t wanted, n;
    } all[] = {{"layer", f->layer, d->log.layers}, {"head", f->head, d->log.heads}, {"probe", f->probe, d->log.probes}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].wanted >= all[i].n)
            return heed_fail(error, HEED_USAGE, "report: --%s = %zu: %s has 0 to %zu", all[i].what, all[i].wanted,
                             d->log.folder, all[i].n - 1);
    if (strcmp(f->what, "attention") != 0 && strcmp(f->what, "credit") != 0 && strcmp(f->what, "advantage") != 0)
        return heed_fail(error, HEED_USAGE, "report: --what = %s: expected attention, credit or advantage", f->what);
    return HEED_OK;
}

static heed_status read_map(drawing *d, size_t index, heed_error *error) {
    const heedi_log_reader *log = &d->log;
    const size_t map = log->time * log->time, dims[6] = {1, log->probes, log->layers, log->heads, log->time, log->time};
    const size_t place = (d->figure->probe * log->layers + d->figure->layer) * log->heads + d->figure->head;
    float *all = malloc(heedi_log_reader_elements(log) * sizeof *all);
    heed_store *store = NULL;
    heed_status status = all ? heedi_log_reader_store(log, index, &store, error)
                             : heed_fail(error, HEED_MEMORY, "%s: out of memory", log->folder);
    if (status == HEED_OK)
        status = heed_store_read(store, d->figure->what, HEED_TYPE_FLOAT32, 6, dims, all, error);
    if (store)
        heed_store_close(store);
    if (status == HEED_OK && (d->map = malloc(map * sizeof *d->map)))
        memcpy(d->map, all + place * map, map * sizeof *d->map);
    else if (status == HEED_OK)
        status = heed_fail(error, HEED_MEMORY, "%s: out of memory", log->folder);
    free(all);
    d->largest = 1;
    for (size_t i = 0; status == HEED_OK && d->is_signed && i < map; i++)
        d->largest = i == 0 || fabs((double)d->map[i]) > d->largest ? fabs((double)d->map[i]) : d->largest;
    return status;
}

/* A token's text as it can be drawn: white space shown, clean UTF-8, cut after LONGEST_LABEL characters. */
static char *label_of(const char *text, size_t bytes) {
    char *piece = strndup(text, bytes), *made = piece ? calloc(strlen(piece) * 4 + 4, 1) : NULL;
    json_t *clean = made ? heedi_json_text(piece) : NULL;
    const char *from = clean ? json_string_value(clean) : "";
    int shown = 0;
    for (char *to = made; made && *from && shown <= LONGEST_LABEL; from++) {
        const char *as = *from == ' ' ? "·" : *from == '\n' ? "↵" : *from == '\t' ? "⇥" : NULL;
        shown += ((unsigned char)*from & 0xc0) != 0x80;
        if (shown > LONGEST_LABEL)
            break;
        if (as)
            to = stpcpy(to, as);
        else
            *to++ = *from;
    }
    json_decref(clean);
    free(piece);
    return made;
}

/* --- drawing ------------------------------------------------------------------------------------------------------ */

typedef enum align { LEFT, MIDDLE, RIGHT } align;

static void write_text(cairo_t *c, double x, double y, align at, const char *text) {
    cairo_text_extents_t size;
    cairo_text_extents(c, text, &size);
    cairo_move_to(c, x - (at == RIGHT ? size.x_advance : at == MIDDLE ? size.x_advance / 2 : 0), y);
    cairo_show_text(c, text);
}

static void write_turned(cairo_t *c, double x, double y, align at, const char *text) {
    cairo_save(c);
    cairo_translate(c, x, y);
    cairo_rotate(c, -M_PI / 2);
    write_text(c, 0, 0, at, text);
    cairo_restore(c);
}

static void set_colour(cairo_t *c, const drawing *d, double value) {
    double rgb[3];
    if (d->is_signed)
        heedi_colour(rgb, HEEDI_DIVERGING, d->largest > 0 ? (value / d->largest + 1) / 2 : 0.5);
    else
        heedi_colour(rgb, HEEDI_VIRIDIS, value / d->largest);
    cairo_set_source_rgb(c, rgb[0], rgb[1], rgb[2]);
}

static void draw_cells(cairo_t *c, const drawing *d, double x, double y, double cell) {
    cairo_set_antialias(c, CAIRO_ANTIALIAS_NONE); /* no seams between neighbours */
    for (size_t i = 0; i < d->n; i++)
        for (size_t j = 0; j < heedi_log_reader_keys(&d->log, d->figure->probe, i); j++) {
            set_colour(c, d, (double)d->map[i * d->log.time + j]);
            cairo_rectangle(c, x + (double)j * cell, y + (double)i * cell, cell, cell);
            cairo_fill(c);
        }
    cairo_set_antialias(c, CAIRO_ANTIALIAS_DEFAULT);
}

/* Where cells are small only some tokens are named. */
static size_t named_every(cairo_t *c, double cell) {
    const double every = fmax(ceil(0.8 * TEXT / cell), 1);
    cairo_set_font_size(c, fmin(TEXT, 0.95 * cell * every));
    return (size_t)every;
}

static void draw_labels(cairo_t *c, const drawing *d, double x, double y, double cell) {
    const size_t every = named_every(c, cell);
    cairo_set_source_rgb(c, 0.2, 0.2, 0.2);
    for (size_t i = 0; i < d->n; i += every)
        write_text(c, x - 4, y + ((double)i + 0.5) * cell + 0.3 * TEXT, RIGHT, d->label[i]);
    for (size_t j = 0; j < d->n_keys; j += every)
        write_turned(c, x + ((double)j + 0.5) * cell + 0.3 * TEXT, y + (double)d->n * cell + 4, RIGHT, d->key_label[j]);
}

static void draw_bar(cairo_t *c, const drawing *d, double x, double y, double length) {
    char text[32];
    for (int k = 0; k < 256; k++) {
        const double share = k / 255.0;
        set_colour(c, d, d->is_signed ? (2 * share - 1) * d->largest : share * d->largest);
        cairo_rectangle(c, x, y + (1 - share) * (length - length / 256), BAR, length / 256 + 0.5);
        cairo_fill(c);
    }
    cairo_set_source_rgb(c, 0.2, 0.2, 0.2);
    cairo_set_font_size(c, TEXT);
    snprintf(text, sizeof text, "%.3g", d->largest);
    write_text(c, x + BAR + 4, y + 0.8 * TEXT, LEFT, text);
    snprintf(text, sizeof text, "%.3g", d->is_signed ? -d->largest : 0);
    write_text(c, x + BAR + 4, y + length, LEFT, text);
    if (d->is_signed)
        write_text(c, x + BAR + 4, y + length / 2 + 0.4 * TEXT, LEFT, "0 nat");
}

static double cell_of(const drawing *d) {
    return CELL_SPACE / (double)(d->n > d->n_keys ? d->n : d->n_keys);
}

static void draw_all(cairo_t *c, const drawing *d) {
    static const char *const of_kind[HEED_N_ATTENTION_KINDS] = {"", " of the encoder", " to the source"};
    char title[160];
    const double cell = cell_of(d), x = MARGIN + TEXT + 8 + d->gutter, y = MARGIN + 3 * TEXT;
    const double width = cell * (double)d->n_keys, height = cell * (double)d->n;
    cairo_set_source_rgb(c, 1, 1, 1);
    cairo_paint(c);
    cairo_select_font_face(c, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c, TEXT + 2);
    cairo_set_source_rgb(c, 0, 0, 0);
    snprintf(title, sizeof title, "%s%s, layer %zu, head %zu, step %llu", d->figure->what, of_kind[d->log.kind],
             d->figure->layer, d->figure->head, (unsigned long long)d->step);
    write_text(c, x, MARGIN + 1.2 * TEXT, LEFT, title);
    draw_cells(c, d, x, y, cell);
    draw_labels(c, d, x, y, cell);
    draw_bar(c, d, x + CELL_SPACE + 12, y, CELL_SPACE);
    cairo_set_font_size(c, TEXT);
    write_text(c, x + width / 2, y + height + d->key_gutter + TEXT + 8, MIDDLE, "key: the token that is looked at");
    write_turned(c, MARGIN + TEXT, y + height / 2, MIDDLE, "query: the token that looks");
}

static double widest(cairo_t *c, char *const *label, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        cairo_text_extents_t size;
        cairo_text_extents(c, label[i], &size);
        most = fmax(most, size.x_advance + 4);
    }
    return most;
}

/* The widest label decides how much room there is beside the map; measured on a surface that is thrown away. */
static void measure_labels(drawing *d) {
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1);
    cairo_t *c = cairo_create(surface);
    cairo_select_font_face(c, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c, TEXT);
    d->gutter = widest(c, d->label, d->n);
    d->key_gutter = widest(c, d->key_label, d->n_keys);
    cairo_destroy(c);
    cairo_surface_destroy(surface);
}

static cairo_status_t write_piece(void *context, const unsigned char *bytes, unsigned n) {
    heedi_page *page = context;
    heedi_page_bytes(page, (const char *)bytes, n);
    return ferror(page->file) ? CAIRO_STATUS_WRITE_ERROR : CAIRO_STATUS_SUCCESS;
}

static heed_status draw(const drawing *d, const char *path, heed_figure_format format, heed_error *error) {
    const double width = 2 * MARGIN + TEXT + 8 + d->gutter + CELL_SPACE + 12 + BAR + 48;
    const double height = 2 * MARGIN + 3 * TEXT + CELL_SPACE + d->key_gutter + TEXT + 12;
    heedi_page page;
    heed_status status = heedi_page_open(&page, path, error);
    if (status != HEED_OK)
        return status;
    cairo_surface_t *surface =
        format == HEED_FIGURE_PNG
            ? cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)(PIXELS * width), (int)(PIXELS * height))
        : format == HEED_FIGURE_SVG ? cairo_svg_surface_create_for_stream(write_piece, &page, width, height)
                                    : cairo_pdf_surface_create_for_stream(write_piece, &page, width, height);
    cairo_t *c = cairo_create(surface);
    if (format == HEED_FIGURE_PNG)
        cairo_scale(c, PIXELS, PIXELS);
    draw_all(c, d);
    cairo_status_t drawn = cairo_status(c);
    if (format == HEED_FIGURE_PNG && drawn == CAIRO_STATUS_SUCCESS)
        drawn = cairo_surface_write_to_png_stream(surface, write_piece, &page);
    cairo_destroy(c);
    cairo_surface_finish(surface); /* SVG and PDF are written here */
    if (drawn == CAIRO_STATUS_SUCCESS)
        drawn = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    if (drawn != CAIRO_STATUS_SUCCESS && !ferror(page.file))
        heed_fail(error, HEED_MEMORY, "%s: cannot be drawn: %s", path, cairo_status_to_string(drawn));
    return heedi_page_close(&page, error);
}

/* The kinds that a run has are those whose folder is there. */
static heed_status open_log(drawing *d, heed_error *error) {
    const heed_figure *f = d->figure;
    int kind = 0;
    while (kind < HEED_N_ATTENTION_KINDS && strcmp(f->kind, heedi_kind_names[kind]) != 0)
        kind++;
    if (kind == HEED_N_ATTENTION_KINDS)
        return heed_fail(error, HEED_USAGE, "report: --kind = %s: expected self, encoder or cross", f->kind);
    return heedi_log_reader_open(&d->log, f->run, (heed_attention_kind)kind, error);
}

static bool make_labels(drawing *d) {
    const heedi_log_reader *log = &d->log;
    const size_t first = d->figure->probe * log->time;
    d->n = (size_t)log->length[d->figure->probe];
    d->n_keys = (size_t)log->key_length[d->figure->probe];
    d->label = calloc(d->n + 1, sizeof *d->label);
    d->key_label = calloc(d->n_keys + 1, sizeof *d->key_label);
    bool complete = d->label && d->key_label;
    for (size_t i = 0; complete && i < d->n; i++)
        complete = (d->label[i] = label_of(log->text + (first + i) * log->text_bytes, log->text_bytes));
    for (size_t j = 0; complete && j < d->n_keys; j++)
        complete = (d->key_label[j] = label_of(log->key_text + (first + j) * log->text_bytes, log->text_bytes));
    return complete;
}

heed_status heed_figure_draw(const char *path, heed_figure_format format, const heed_figure *figure,
                             heed_error *error) {
    drawing d = {.figure = figure, .is_signed = strcmp(figure->what, "attention") != 0};
    size_t index = 0;
    heed_status status = open_log(&d, error);
    if (status == HEED_OK)
        status = check_place(&d, error);
    if (status == HEED_OK)
        status = find_step(&d, &index, error);
    if (status == HEED_OK)
        status = read_map(&d, index, error);
    if (status == HEED_OK) {
        d.step = d.log.step[index];
        if (!make_labels(&d))
            status = heed_fail(error, HEED_MEMORY, "%s: out of memory", d.log.folder);
        else if (d.n == 0 || d.n_keys == 0)
            status = heed_fail(error, HEED_DATA, "%s: probe %zu has no tokens", d.log.folder, figure->probe);
    }
    if (status == HEED_OK) {
        measure_labels(&d);
        status = draw(&d, path, format, error);
    }
    drawing_reset(&d);
    return status;
}

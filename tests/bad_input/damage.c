#include <hdf5.h>

#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "damage.h"
#include "engine/store_private.h"

#define MAX_PLACES 1024
#define NAME_BYTES 128

/* An array, or an attribute of an object. */
typedef struct place {
    char object[NAME_BYTES], attribute[NAME_BYTES]; /* attribute "" = the array itself */
    size_t n_damages;                               /* how many kinds of damage are tried */
} place;

typedef struct damager {
    const char *good, *bad;
    place places[MAX_PLACES];
    size_t n_places, n_tried;
    void (*try)(void *context, const char *what);
    void *context;
} damager;

static const char *doing = ""; /* for must alone */

static void must(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "damage: %s: cannot %s\n", doing, what);
        H5Eprint2(H5E_DEFAULT, stderr);
        abort();
    }
}
#define MUST(call) must((call) >= 0, #call)

/* --- bytes ------------------------------------------------------------------------------------------------------ */

static unsigned char *slurp(const char *path, size_t *n_bytes) {
    FILE *file = fopen(path, "rb");
    must(file, path);
    MUST(fseek(file, 0, SEEK_END));
    *n_bytes = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(*n_bytes + 1);
    must(bytes && fread(bytes, 1, *n_bytes, file) == *n_bytes, path);
    fclose(file);
    return bytes;
}

static void spill(const char *path, const void *bytes, size_t n_bytes) {
    remove(path); /* what stood there may be of another kind */
    FILE *file = fopen(path, "wb");
    must(file && fwrite(bytes, 1, n_bytes, file) == n_bytes && fclose(file) == 0, path);
}

static void try_it(damager *d, const char *object, const char *damage) {
    char what[2 * NAME_BYTES + 64];
    snprintf(what, sizeof what, "%s: %s", object, damage);
    d->n_tried++;
    d->try(d->context, what);
}

static void damage_bytes(damager *d) {
    size_t n;
    unsigned char *good = slurp(d->good, &n), *bytes = malloc(n + 4096);
    const size_t content = n - HEEDI_TRAILER_BYTES;
    const size_t lengths[] = {0, 1, 8, 31, 32, 33, 512, n / 2, content - 1, content, content + 1, n - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        if (lengths[i] < n) {
            spill(d->bad, good, lengths[i]);
            try_it(d, "(file)", "is cut short");
        }
    for (size_t i = 0; i < 16; i++) {
        memcpy(bytes, good, n);
        bytes[i < 8 ? n * i / 8 : n - 1 - 4 * (i - 8)] ^= 0x10;
        spill(d->bad, bytes, n);
        try_it(d, "(file)", "has a flipped bit");
    }
    memcpy(bytes, good, n);
    memset(bytes + n, 0, 4096);
    spill(d->bad, bytes, n + 4096);
    try_it(d, "(file)", "has more behind its end");
    memset(bytes, 0, n);
    spill(d->bad, bytes, n);
    try_it(d, "(file)", "is all zeros");
    spill(d->bad, "Call me Ishmael.\n", 17);
    try_it(d, "(file)", "is a text");
    unlink(d->bad);
    try_it(d, "(file)", "does not exist");
    MUST(mkdir(d->bad, 0700));
    try_it(d, "(file)", "is a folder");
    remove(d->bad);
    MUST(symlink(d->bad, d->bad));
    try_it(d, "(file)", "is a link to itself");
    MUST(symlink("/dev/zero", "zeros"));
    remove(d->bad);
    MUST(rename("zeros", d->bad));
    try_it(d, "(file)", "is an endless device");
    remove(d->bad);
    free(good);
    free(bytes);
}

/* Where the first object header behind the root's starts. HDF5 keeps a checksum of each; of plain numbers it keeps
 * none.
 */
static size_t second_header(const unsigned char *bytes, size_t n) {
    enum { ROOT = 48 };
    const unsigned char *found = memmem(bytes + ROOT + 4, n - ROOT - 4, "OHDR", 4);
    MUST(found ? 0 : -1);
    return (size_t)(found - bytes);
}

/* Content of the damager's choice with a right trailer. */
static void damage_under_a_right_digest(damager *d) {
    size_t n;
    unsigned char *good = slurp(d->good, &n), *bytes = malloc(n);
    static const char *const names[] = {"is no HDF5 under a right digest", "has a broken superblock",
                                        "has a broken root", "has a broken object header"};
    for (int kind = 0; kind < 4; kind++) {
        memcpy(bytes, good, n);
        const size_t from[] = {0, 9, 48, second_header(good, n)}, count[] = {8, 12, 64, 64};
        for (size_t i = 0; i < count[kind]; i++)
            bytes[from[kind] + i] ^= 0xa5;
        spill(d->bad, bytes, n - HEEDI_TRAILER_BYTES);
        heedi_disk disk = {.fd = open(d->bad, O_RDWR), .writing = true, .length = n - HEEDI_TRAILER_BYTES};
        unsigned char digest[HEEDI_DIGEST_BYTES];
        must(disk.fd >= 0 && heedi_trailer_write(&disk, digest), "write a trailer");
        close(disk.fd);
        try_it(d, "(file)", names[kind]);
    }
    free(good);
    free(bytes);
}

/* --- objects ---------------------------------------------------------------------------------------------------- */

static hid_t open_bad(damager *d) {
    size_t n;
    unsigned char *bytes = slurp(d->good, &n);
    spill(d->bad, bytes, n - HEEDI_TRAILER_BYTES);
    free(bytes);
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    MUST(H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110));
    const hid_t file = H5Fopen(d->bad, H5F_ACC_RDWR, access);
    MUST(file);
    H5Pclose(access);
    return file;
}

static void close_bad(damager *d, hid_t file) {
    MUST(H5Fclose(file));
    struct stat status;
    heedi_disk disk = {.fd = open(d->bad, O_RDWR), .writing = true};
    MUST(fstat(disk.fd, &status));
    disk.length = (uint64_t)status.st_size;
    unsigned char digest[HEEDI_DIGEST_BYTES];
    must(heedi_trailer_write(&disk, digest), "write a trailer");
    close(disk.fd);
}

/* --- arrays ----------------------------------------------------------------------------------------------------- */

typedef struct array_target {
    hid_t file, type;
    const char *name;
    int n_dims;
    hsize_t dims[H5S_MAX_RANK], n_elements;
} array_target;

typedef bool array_damage(const array_target *t); /* false: does not apply */

static void take_away(const array_target *t) {
    MUST(H5Ldelete(t->file, t->name, H5P_DEFAULT));
}

/* In the array's place another one; creation as given, or zeros that are really there. */
static void put(const array_target *t, hid_t type, int n_dims, const hsize_t *dims, hid_t creation) {
    take_away(t);
    const hid_t space = n_dims ? H5Screate_simple(n_dims, dims, NULL) : H5Screate(H5S_SCALAR);
    const hid_t own = H5Pcreate(H5P_DATASET_CREATE);
    MUST(H5Pset_alloc_time(own, H5D_ALLOC_TIME_EARLY));
    const hid_t array =
        H5Dcreate2(t->file, t->name, type, space, H5P_DEFAULT, creation == H5P_DEFAULT ? own : creation, H5P_DEFAULT);
    MUST(array);
    H5Dclose(array);
    H5Pclose(own);
    H5Sclose(space);
}

static bool missing(const array_target *t) {
    take_away(t);
    return true;
}

static bool group(const array_target *t) {
    take_away(t);
    const hid_t made = H5Gcreate2(t->file, t->name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    MUST(made);
    H5Gclose(made);
    return true;
}

static bool soft_link(const array_target *t) {
    MUST(H5Lmove(t->file, t->name, t->file, "/elsewhere", H5P_DEFAULT, H5P_DEFAULT));
    MUST(H5Lcreate_soft("/elsewhere", t->file, t->name, H5P_DEFAULT, H5P_DEFAULT));
    return true;
}

static bool external_link(const array_target *t) {
    take_away(t);
    MUST(H5Lcreate_external("good.h5", t->name, t->file, t->name, H5P_DEFAULT, H5P_DEFAULT));
    return true;
}

static bool other_type(const array_target *t) {
    put(t, H5Tget_class(t->type) == H5T_INTEGER ? H5T_IEEE_F64LE : H5T_STD_I64LE, t->n_dims, t->dims, H5P_DEFAULT);
    return true;
}

static bool compound(const array_target *t) {
    const hid_t type = H5Tcreate(H5T_COMPOUND, 16);
    MUST(H5Tinsert(type, "a", 0, H5T_NATIVE_INT64));
    put(t, type, t->n_dims, t->dims, H5P_DEFAULT);
    H5Tclose(type);
    return true;
}

static bool strings_of_any_length(const array_target *t) {
    const hid_t type = H5Tcopy(H5T_C_S1);
    MUST(H5Tset_size(type, H5T_VARIABLE));
    put(t, type, t->n_dims, t->dims, H5P_DEFAULT);
    H5Tclose(type);
    return true;
}

static bool extra_dimension(const array_target *t) {
    hsize_t dims[H5S_MAX_RANK + 1] = {1};
    memcpy(dims + 1, t->dims, (size_t)t->n_dims * sizeof *dims);
    put(t, t->type, t->n_dims + 1, dims, H5P_DEFAULT);
    return true;
}

static bool scalar(const array_target *t) {
    if (t->n_dims > 0)
        put(t, t->type, 0, NULL, H5P_DEFAULT);
    return t->n_dims > 0;
}

static bool other_rows(const array_target *t, hsize_t rows) {
    hsize_t dims[H5S_MAX_RANK];
    if (t->n_dims == 0 || t->dims[0] == 0)
        return false;
    memcpy(dims, t->dims, (size_t)t->n_dims * sizeof *dims);
    dims[0] = rows;
    put(t, t->type, t->n_dims, dims, H5P_DEFAULT);
    return true;
}

static bool no_rows(const array_target *t) {
    return other_rows(t, 0);
}

static bool row_more(const array_target *t) {
    return other_rows(t, t->dims[0] + 1);
}

static bool row_less(const array_target *t) {
    return t->dims[0] > 1 && other_rows(t, t->dims[0] - 1);
}

static bool claims(const array_target *t, hsize_t n) {
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    MUST(H5Pset_alloc_time(creation, H5D_ALLOC_TIME_LATE));
    put(t, t->type, 1, &n, creation);
    H5Pclose(creation);
    return true;
}

static bool claims_much(const array_target *t) {
    return claims(t, (hsize_t)1 << 36);
}

static bool claims_all(const array_target *t) {
    return claims(t, ((hsize_t)1 << 62) / H5Tget_size(t->type));
}

/* In chunks, with a filter; zeros, or nothing at all. */
static bool in_chunks(const array_target *t, hsize_t chunk_rows, H5Z_filter_t filter, bool written) {
    hsize_t chunk[H5S_MAX_RANK];
    if (t->n_dims == 0 || t->n_elements == 0)
        return false;
    memcpy(chunk, t->dims, sizeof chunk);
    chunk[0] = chunk_rows ? chunk_rows : t->dims[0];
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    MUST(H5Pset_chunk(creation, t->n_dims, chunk));
    MUST(H5Pset_filter(creation, filter, H5Z_FLAG_OPTIONAL, 0, NULL));
    if (written)
        MUST(H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY));
    put(t, t->type, t->n_dims, t->dims, creation);
    H5Pclose(creation);
    return true;
}

static bool foreign_filter(const array_target *t) {
    return in_chunks(t, 0, H5Z_FILTER_NBIT, true);
}

static bool absent_chunks(const array_target *t) {
    return in_chunks(t, 1, H5Z_FILTER_FLETCHER32, false);
}

/* One element becomes the worst one of its type: no UTF-8; -1, or the highest unsigned number; not a number; infinity.
 */
static bool worst_element(const array_target *t, hsize_t at) {
    if (t->n_elements == 0)
        return false;
    const bool floating = H5Tget_class(t->type) == H5T_FLOAT;
    const hid_t type = floating ? H5T_NATIVE_DOUBLE : t->type;
    const size_t bytes = H5Tget_size(type);
    unsigned char *values = malloc(t->n_elements * bytes);
    const hid_t array = H5Dopen2(t->file, t->name, H5P_DEFAULT);
    MUST(H5Dread(array, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
    if (floating)
        ((double *)values)[at] = at ? HUGE_VAL : NAN;
    else
        memset(values + at * bytes, 0xff, bytes);
    MUST(H5Dwrite(array, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
    H5Dclose(array);
    free(values);
    return true;
}

static bool begins_badly(const array_target *t) {
    return worst_element(t, 0);
}

static bool ends_badly(const array_target *t) {
    return worst_element(t, t->n_elements - 1);
}

static const struct {
    const char *what;
    array_damage *make;
} array_damages[] = {
    {"is missing", missing},
    {"is a group", group},
    {"is a soft link", soft_link},
    {"is an external link", external_link},
    {"has another type", other_type},
    {"is a compound", compound},
    {"has strings of any length", strings_of_any_length},
    {"has a dimension more", extra_dimension},
    {"is a scalar", scalar},
    {"has no rows", no_rows},
    {"has a row more", row_more},
    {"has a row less", row_less},
    {"claims 2^36 elements", claims_much},
    {"claims 2^62 bytes", claims_all},
    {"has a foreign filter", foreign_filter},
    {"has no chunks", absent_chunks},
    {"begins badly", begins_badly},
    {"ends badly", ends_badly},
};

enum { N_ARRAY_DAMAGES = sizeof array_damages / sizeof *array_damages };

static bool damage_array(hid_t file, const char *name, array_damage *make) {
    array_target t = {.file = file, .name = name};
    const hid_t array = H5Dopen2(file, name, H5P_DEFAULT), space = H5Dget_space(array);
    t.type = H5Dget_type(array);
    t.n_dims = H5Sget_simple_extent_dims(space, t.dims, NULL);
    t.n_elements = (hsize_t)H5Sget_simple_extent_npoints(space);
    H5Sclose(space);
    H5Dclose(array);
    const bool done = make(&t);
    H5Tclose(t.type);
    return done;
}

/* --- attributes ------------------------------------------------------------------------------------------------- */

typedef struct attribute_target {
    hid_t object;
    const char *key;
    H5T_class_t class;
} attribute_target;

typedef bool attribute_damage(const attribute_target *t);

/* In the attribute's place another one, of n elements (0 = a scalar). */
static void replace(const attribute_target *t, hid_t type, const void *value, hsize_t n) {
    const hid_t space = n ? H5Screate_simple(1, &n, NULL) : H5Screate(H5S_SCALAR);
    MUST(H5Adelete(t->object, t->key));
    const hid_t attribute = H5Acreate2(t->object, t->key, type, space, H5P_DEFAULT, H5P_DEFAULT);
    MUST(attribute);
    MUST(H5Awrite(attribute, type, value));
    H5Aclose(attribute);
    H5Sclose(space);
}

static void replace_text(const attribute_target *t, const char *value, size_t bytes) {
    const hid_t type = H5Tcopy(H5T_C_S1);
    MUST(H5Tset_size(type, bytes));
    replace(t, type, value, 0);
    H5Tclose(type);
}

static bool no_attribute(const attribute_target *t) {
    MUST(H5Adelete(t->object, t->key));
    return true;
}

static bool other_class(const attribute_target *t) {
    const double number = 1;
    if (t->class == H5T_STRING)
        replace(t, H5T_NATIVE_DOUBLE, &number, 0);
    else
        replace_text(t, "one", 3);
    return true;
}

static bool several(const attribute_target *t) {
    const double numbers[] = {1, 2, 3};
    const int64_t integers[] = {1, 2, 3};
    const hid_t text = H5Tcopy(H5T_C_S1);
    if (t->class == H5T_STRING)
        replace(t, text, "abc", 3);
    else if (t->class == H5T_INTEGER)
        replace(t, H5T_NATIVE_INT64, integers, 3);
    else
        replace(t, H5T_NATIVE_DOUBLE, numbers, 3);
    H5Tclose(text);
    return true;
}

static bool string_of_any_length(const attribute_target *t) {
    const char *text = "abc";
    const hid_t type = H5Tcopy(H5T_C_S1);
    MUST(H5Tset_size(type, H5T_VARIABLE));
    replace(t, type, &text, 0);
    H5Tclose(type);
    return true;
}

static bool worst_low(const attribute_target *t) {
    const int64_t low = INT64_MIN;
    const double number = -HUGE_VAL;
    if (t->class == H5T_STRING)
        replace_text(t, "", 1);
    else if (t->class == H5T_INTEGER)
        replace(t, H5T_NATIVE_INT64, &low, 0);
    else
        replace(t, H5T_NATIVE_DOUBLE, &number, 0);
    return true;
}

static bool worst_high(const attribute_target *t) {
    const int64_t high = INT64_MAX;
    const double number = NAN;
    if (t->class == H5T_STRING)
        replace_text(t, "\xff\xfe\n\r\x1b[31m=[%s%n", 16);
    else if (t->class == H5T_INTEGER)
        replace(t, H5T_NATIVE_INT64, &high, 0);
    else
        replace(t, H5T_NATIVE_DOUBLE, &number, 0);
    return true;
}

static bool very_long(const attribute_target *t) {
    if (t->class != H5T_STRING)
        return false;
    const size_t bytes = ((size_t)1 << 20) + 1; /* one more than any reader takes */
    char *text = malloc(bytes);
    memset(text, 'a', bytes);
    replace_text(t, text, bytes);
    free(text);
    return true;
}

static const struct {
    const char *what;
    attribute_damage *make;
} attribute_damages[] = {
    {"is missing", no_attribute},       {"has another type", other_class},
    {"has several values", several},    {"has a string of any length", string_of_any_length},
    {"is as low as can be", worst_low}, {"is as high as can be", worst_high},
    {"is very long", very_long},
};

enum { N_ATTRIBUTE_DAMAGES = sizeof attribute_damages / sizeof *attribute_damages };

static bool damage_attribute(hid_t file, const place *p, attribute_damage *make) {
    const hid_t object = H5Oopen(file, p->object, H5P_DEFAULT);
    const hid_t attribute = H5Aopen(object, p->attribute, H5P_DEFAULT), type = H5Aget_type(attribute);
    const attribute_target t = {.object = object, .key = p->attribute, .class = H5Tget_class(type)};
    H5Tclose(type);
    H5Aclose(attribute);
    const bool done = make(&t);
    H5Oclose(object);
    return done;
}

/* --- all of them ------------------------------------------------------------------------------------------------ */

static void new_place(damager *d, const char *object, const char *attribute, size_t n_damages) {
    must(d->n_places < MAX_PLACES && strlen(object) < NAME_BYTES && strlen(attribute) < NAME_BYTES, "hold all places");
    place *p = &d->places[d->n_places++];
    strcpy(p->object, object);
    strcpy(p->attribute, attribute);
    p->n_damages = n_damages;
}

typedef struct visit {
    damager *d;
    const char *object;
    size_t n_damages;
} visit;

static herr_t collect_attribute(hid_t object, const char *name, const H5A_info_t *info, void *context) {
    (void)object, (void)info;
    const visit *v = context;
    new_place(v->d, v->object, name, v->n_damages);
    return 0;
}

static herr_t collect_object(hid_t file, const char *name, const H5O_info_t *info, void *context) {
    char object[NAME_BYTES];
    snprintf(object, sizeof object, "/%s", strcmp(name, ".") == 0 ? "" : name);
    const bool is_array = info->type == H5O_TYPE_DATASET;
    if (is_array)
        new_place(context, object, "", N_ARRAY_DAMAGES);
    /* Those of arrays are for programs that show them (units, scales): the first two damages do. */
    MUST(H5Aiterate_by_name(file, name, H5_INDEX_NAME, H5_ITER_INC, NULL, collect_attribute,
                            &(visit){context, object, is_array ? 2 : N_ATTRIBUTE_DAMAGES}, H5P_DEFAULT));
    return 0;
}

static void damage_place(damager *d, const place *p) {
    char name[2 * NAME_BYTES + 2];
    snprintf(name, sizeof name, "%s%s%s", p->object, *p->attribute ? " " : "", p->attribute);
    for (size_t i = 0; i < p->n_damages; i++) {
        const hid_t file = open_bad(d);
        doing = *p->attribute ? attribute_damages[i].what : array_damages[i].what;
        const bool done = *p->attribute ? damage_attribute(file, p, attribute_damages[i].make)
                                        : damage_array(file, p->object, array_damages[i].make);
        close_bad(d, file);
        if (done)
            try_it(d, name, *p->attribute ? attribute_damages[i].what : array_damages[i].what);
    }
}

size_t damage_each(const char *good, const char *bad, void (*try)(void *context, const char *what), void *context) {
    damager d = {.good = good, .bad = bad, .try = try, .context = context};
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    damage_bytes(&d);
    damage_under_a_right_digest(&d);
    const hid_t file = H5Fopen(good, H5F_ACC_RDONLY, H5P_DEFAULT);
    MUST(file);
    MUST(H5Ovisit(file, H5_INDEX_NAME, H5_ITER_INC, collect_object, &d));
    H5Fclose(file);
    for (size_t i = 0; i < d.n_places; i++)
        damage_place(&d, &d.places[i]);
    remove(bad);
    return d.n_tried;
}

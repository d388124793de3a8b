/* Ranks of different builds would train on, each with bits of its own, or read each other's messages wrongly. */
#include "cli/match.h"

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#include "heed/gemm.h"
#include "heed/real.h"
#include "heed/store.h"
#include "heed/version.h"

enum { N_LINES = 5, LINE_BYTES = 320 };

/* The first message between ranks that may not be of one build: its form is never to change. */
typedef struct sheet {
    char host[256];
    char line[N_LINES][LINE_BYTES];
} sheet;

static const char *const names[N_LINES] = {"heed", "numbers", "MPI", "BLIS", "HDF5"};

static size_t padded(size_t bytes) {
    return (bytes + 3) & ~(size_t)3;
}

/* Appends the build id (ELF note of the linker) of the program and of libheed, where that is a library of its own. */
static int add_build_id(struct dl_phdr_info *object, size_t bytes, void *context) {
    char *text = context;
    (void)bytes;
    if (object->dlpi_name[0] && !strstr(object->dlpi_name, "libheed"))
        return 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type != PT_NOTE)
            continue;
        /* The loader tells addresses as numbers. NOLINTNEXTLINE(performance-no-int-to-ptr) */
        const unsigned char *at = (const unsigned char *)object->dlpi_addr + part->p_vaddr, *end = at + part->p_memsz;
        while (at + sizeof(ElfW(Nhdr)) < end) {
            ElfW(Nhdr) note;
            memcpy(&note, at, sizeof note);
            const unsigned char *name = at + sizeof note, *id = name + padded(note.n_namesz);
            at = id + padded(note.n_descsz);
            if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 || memcmp(name, "GNU", 4) != 0 || at > end)
                continue;
            size_t used = strlen(text);
            used += (size_t)snprintf(text + used, LINE_BYTES - used, " ");
            for (size_t b = 0; b < note.n_descsz && b < 20 && used + 3 < LINE_BYTES; b++)
                used += (size_t)snprintf(text + used, LINE_BYTES - used, "%02x", id[b]);
        }
    }
    return 0;
}

static void fill(sheet *own, const heed_comm *comm) {
    const char *texts[N_LINES] = {heed_version(), HEED_REAL_NAME, heed_comm_library(), heed_gemm_version(),
                                  heed_store_library()};
    memset(own, 0, sizeof *own);
    snprintf(own->host, sizeof own->host, "%s", comm->host);
    for (int i = 0; i < N_LINES; i++)
        snprintf(own->line[i], LINE_BYTES, "%.200s", texts[i]);
    strcat(own->line[0], " build");
    dl_iterate_phdr(add_build_id, own->line[0]);
}

heed_status heedi_match_ranks(heed_comm *comm, heed_error *error) {
    sheet own, first;
    heed_error differs = HEED_ERROR_INIT;
    fill(&own, comm);
    first = own;
    heed_status status = heed_comm_broadcast(comm, &first, sizeof first, 0, &differs);
    for (int i = 0; i < N_LINES && status == HEED_OK; i++) {
        if (strcmp(own.line[i], first.line[i]) == 0)
            continue;
        heed_fail(&differs, HEED_UNAVAILABLE, "ranks do not match: %s is %s on rank %d (%s) and %s on rank 0 (%s)",
                  names[i], own.line[i], comm->rank, own.host, first.line[i], first.host);
        heed_hint(&differs, "start the same build on every node");
    }
    status = heed_comm_agree(comm, &differs);
    if (status != HEED_OK)
        *error = differs;
    return status;
}

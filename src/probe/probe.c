/* The parts of a probe, in their order. */
#include "heed/probe.h"

#include "probe/probing.h"

static heed_status measure_part(heedi_probing *p, const heed_probe_plan *plan, heed_probe_part part,
                                heed_error *error) {
    switch (part) {
    case HEED_PROBE_SCORES:
        return heedi_probe_scores(p, error);
    case HEED_PROBE_ROLLOUT:
        return p->n_encoder > 0 ? HEED_OK : heedi_probe_rollout(p, error); /* defined for one stack of layers */
    case HEED_PROBE_WINDOW:
        return heedi_probe_windows(p, false, error);
    case HEED_PROBE_SPAN:
        return heedi_probe_windows(p, true, error);
    case HEED_PROBE_ABLATION: /* head by head, with what comes next */
        return heedi_probe_heads(p, true, plan->part[HEED_PROBE_PATCHING], error);
    case HEED_PROBE_PATCHING:
        return plan->part[HEED_PROBE_ABLATION] ? HEED_OK : heedi_probe_heads(p, false, true, error);
    case HEED_N_PROBE_PARTS:
        break;
    }
    return HEED_OK;
}

heed_status heed_probe_measure(heed_comm *comm, const heed_probe_subject *subject, const heed_probe_plan *plan,
                               heed_probe *found, heed_error *error) {
    heedi_probing p;
    heed_status status = heedi_probing_open(&p, comm, subject, plan, found, error);
    if (status == HEED_OK)
        status = heedi_probe_base(&p, error);
    for (int part = 0; part < HEED_N_PROBE_PARTS && status == HEED_OK; part++) {
        if (plan->part[part])
            status = measure_part(&p, plan, (heed_probe_part)part, error);
    }
    if (status == HEED_OK && comm->rank == 0)
        heed_probe_set_text(found, subject->tokenizer, error);
    heedi_probing_close(&p);
    return heed_comm_agree(comm, error);
}

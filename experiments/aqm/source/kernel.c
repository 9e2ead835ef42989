/* Linux's disciplines as a side: functions of the kernel's own source (kernel.inc, which source.py takes out of a kernel tree),
 * below what they need of the rest of the kernel (stand_in.h). Frames are 14 bytes longer than the relay's packets, as
 * psched_mtu is. */
#include "stand_in.h"

#include "kernel.inc"

#define FRAME_BYTES 1514
#define MEMORY_BYTES 2304 /* of a frame of this size */

struct state {
    enum kind kind;
    struct Qdisc qdisc;
    int64_t timer_ns;
    struct codel_params params; /* CoDel's own */
    struct codel_vars vars;
    struct codel_stats stats;
};

static void make_pie(struct state *state, bool ecn)
{
    struct pie_sched_data *pie = state->qdisc.private = calloc(1, sizeof *pie);
    pie_params_init(&pie->params);
    pie_vars_init(&pie->vars);
    pie->params.ecn = ecn;
}

static void make_fq_codel(struct state *state)
{
    struct fq_codel_sched_data *fq = state->qdisc.private = calloc(1, sizeof *fq);
    fq->flows_cnt = FLOWS;
    fq->flows = calloc(FLOWS, sizeof *fq->flows);
    fq->backlogs = calloc(FLOWS, sizeof *fq->backlogs);
    fq->memory_limit = 32 << 20;
    fq->drop_batch_size = 64;
    fq->quantum = FRAME_BYTES;
    fq->cparams = state->params;
    INIT_LIST_HEAD(&fq->new_flows);
    INIT_LIST_HEAD(&fq->old_flows);
    for (unsigned i = 0; i < FLOWS; i++)
        INIT_LIST_HEAD(&fq->flows[i].flowchain);
}

static void make_dualpi2(struct state *state)
{
    struct dualpi2_sched_data *dual = state->qdisc.private = calloc(1, sizeof *dual);
    dual->sch = &state->qdisc;
    dual->l_queue = calloc(1, sizeof *dual->l_queue);
    dual->memory_limit = U32_MAX;
    dual->pi2_target = 15 * NSEC_PER_MSEC;
    dual->pi2_tupdate = 16 * NSEC_PER_MSEC;
    dual->pi2_alpha = dualpi2_scale_alpha_beta(41);
    dual->pi2_beta = dualpi2_scale_alpha_beta(819);
    dual->step_thresh = 1 * NSEC_PER_MSEC;
    dual->ecn_mask = ECT1;
    dual->coupling_factor = 2;
    dual->drop_overload = true;
    dualpi2_calculate_c_protection(&state->qdisc, dual, 10);
}

static void *make(enum kind kind, bool ecn, uint32_t limit_packets, uint64_t seed)
{
    struct state *state = calloc(1, sizeof *state);
    state->kind = kind;
    state->qdisc.limit = limit_packets;
    state->params = (struct codel_params){.target = MS2TIME(5), .interval = MS2TIME(100), .mtu = FRAME_BYTES, .ecn = ecn,
                                          .ce_threshold = CODEL_DISABLED_THRESHOLD};
    random_state = rng_stream(seed, 9);
    if (kind == ONLY_PIE)
        make_pie(state, ecn);
    else if (kind == FAIR_CODEL)
        make_fq_codel(state);
    else if (kind == DUAL_PI2)
        make_dualpi2(state);
    return state;
}

static void offer(void *of, struct item *item, int64_t now_ns, bool sending)
{
    struct state *state = of;
    struct sk_buff *to_free = NULL, *skb = calloc(1, sizeof *skb);

    (void)sending;
    clock_ns = (u64)now_ns;
    skb->len = FRAME_BYTES;
    skb->truesize = MEMORY_BYTES;
    skb->item = item;
    if (state->kind == ONLY_PIE) {
        pie_qdisc_enqueue(skb, &state->qdisc, &to_free);
    } else if (state->kind == FAIR_CODEL) {
        fq_codel_enqueue(skb, &state->qdisc, &to_free);
    } else if (state->kind == DUAL_PI2) {
        dualpi2_skb_cb(skb)->ect = item->ecn & 3;
        dualpi2_skb_cb(skb)->classified = item->ecn & ECT1 ? DUALPI2_C_L4S : DUALPI2_C_CLASSIC;
        dualpi2_enqueue_skb(skb, &state->qdisc, &to_free);
    } else if (qdisc_qlen(&state->qdisc) >= state->qdisc.limit) {
        let_go(skb);
    } else {
        codel_set_enqueue_time(skb);
        qdisc_enqueue_tail(skb, &state->qdisc);
    }
}

static struct sk_buff *codel_head(struct codel_vars *vars, void *qdisc)
{
    (void)vars;
    return qdisc_dequeue_head(qdisc);
}

static void codel_drop(struct sk_buff *skb, void *qdisc)
{
    (void)qdisc;
    let_go(skb);
}

static struct sk_buff *dequeue(struct state *state)
{
    switch (state->kind) {
    case ONLY_PIE:
        return pie_qdisc_dequeue(&state->qdisc);
    case FAIR_CODEL:
        return __fq_codel_dequeue(&state->qdisc);
    case DUAL_PI2:
        return __dualpi2_qdisc_dequeue(&state->qdisc);
    default:
        return codel_dequeue(&state->qdisc, &state->qdisc.qstats.backlog, &state->params, &state->vars, &state->stats,
                             qdisc_pkt_len, codel_get_enqueue_time, codel_drop, codel_head);
    }
}

static struct item *take(void *of, int64_t now_ns)
{
    clock_ns = (u64)now_ns;
    struct sk_buff *skb = dequeue(of);
    struct item *item = skb ? skb->item : NULL;
    free(skb);
    return item;
}

static int64_t timer(void *of, int64_t now_ns)
{
    struct state *state = of;

    clock_ns = (u64)now_ns;
    if (state->kind == ONLY_PIE) {
        struct pie_sched_data *pie = state->qdisc.private;
        pie_calculate_probability(&pie->params, &pie->vars, state->qdisc.qstats.backlog);
        return now_ns + TUPDATE_NS;
    }
    if (state->kind == DUAL_PI2) {
        struct dualpi2_sched_data *dual = state->qdisc.private;
        dual->pi2_prob = calculate_probability(&state->qdisc);
        return now_ns + dual->pi2_tupdate;
    }
    return INT64_MAX;
}

const struct side kernel = {make, offer, take, timer};

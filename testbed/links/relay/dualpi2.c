#include "dualpi2.h"

static int64_t delay_ns(const struct fifo *queue, int64_t now_ns)
{
    return queue->head ? now_ns - queue->head->enqueue_ns : 0;
}

/* RFC 9332, A.1, figure 6; of both queues the slower one counts, as in Linux. */
static void update(struct dualpi2 *dual, int64_t now_ns)
{
    int64_t l4s_ns = delay_ns(&dual->l4s, now_ns), qdelay_ns = delay_ns(&dual->classic, now_ns);
    if (l4s_ns > qdelay_ns)
        qdelay_ns = l4s_ns;
    dual->probability += dual->alpha * (double)(qdelay_ns - dual->target_ns) / 1e9 +
                         dual->beta * (double)(qdelay_ns - dual->old_qdelay_ns) / 1e9;
    if (dual->probability < 0)
        dual->probability = 0;
    if (dual->probability > 1)
        dual->probability = 1;
    dual->old_qdelay_ns = qdelay_ns;
}

static void update_until(struct dualpi2 *dual, int64_t now_ns)
{
    if (!dual->update_ns)
        dual->update_ns = now_ns + dual->tupdate_ns;
    for (; dual->update_ns <= now_ns; dual->update_ns += dual->tupdate_ns) {
        update(dual, dual->update_ns);
        if (!dual->probability && !dual->l4s.head && !dual->classic.head && !dual->old_qdelay_ns)
            dual->update_ns += (now_ns - dual->update_ns) / dual->tupdate_ns * dual->tupdate_ns;
    }
}

/* RFC 9332, A.1, figure 5: true as often as `likelihood` says, evenly spread. */
static bool recur(double *count, double likelihood)
{
    *count += likelihood;
    if (*count <= 1)
        return false;
    *count -= 1;
    return true;
}

void dualpi2_push(struct dualpi2 *dual, struct packet *packet)
{
    update_until(dual, packet->enqueue_ns);
    fifo_push(packet_headers(packet).ecn & 1 ? &dual->l4s : &dual->classic, packet);
}

/* Weighted round robin: L4S first, unless that would leave the classic queue less than its share. */
static struct packet *next(struct dualpi2 *dual, bool *is_l4s)
{
    *is_l4s = dual->l4s.head && (!dual->classic.head || dual->credit <= 0);
    bool both = dual->l4s.head && dual->classic.head;
    struct packet *packet = fifo_pop(*is_l4s ? &dual->l4s : &dual->classic);
    if (!both)
        dual->credit = 0;
    else if (*is_l4s)
        dual->credit += (int64_t)dual->classic_share * packet->size_bytes;
    else
        dual->credit -= (int64_t)(100 - dual->classic_share) * packet->size_bytes;
    return packet;
}

/* RFC 9332, A.2. False: drop it. */
static bool passes(struct dualpi2 *dual, struct packet *packet, bool is_l4s, bool ecn, int64_t now_ns)
{
    double classic = dual->probability * dual->probability;
    double coupled = dual->coupling * dual->probability;

    if (is_l4s) {
        if (coupled >= 1) { /* marks alone cannot control it any more */
            if (recur(&dual->l4s_count, classic))
                return false;
            packet_mark(packet);
            return true;
        }
        /* The native AQM is a step, of queues with more than this packet. */
        bool late = now_ns - packet->enqueue_ns > dual->step_ns && dual->l4s.head;
        if (late || recur(&dual->l4s_count, coupled))
            packet_mark(packet);
        return true;
    }
    if (!recur(&dual->classic_count, classic))
        return true;
    return ecn && coupled < 1 && packet_mark(packet);
}

struct packet *dualpi2_take(struct dualpi2 *dual, uint32_t *bytes, bool ecn, int64_t now_ns, struct fifo *dropped)
{
    update_until(dual, now_ns);
    while (dual->l4s.head || dual->classic.head) {
        bool is_l4s;
        struct packet *packet = next(dual, &is_l4s);
        *bytes -= packet->size_bytes;
        if (passes(dual, packet, is_l4s, ecn, now_ns))
            return packet;
        fifo_push(dropped, packet);
    }
    return NULL;
}

struct packet *dualpi2_empty(struct dualpi2 *dual, uint32_t *bytes)
{
    struct packet *packet = fifo_pop(dual->l4s.head ? &dual->l4s : &dual->classic);
    if (packet)
        *bytes -= packet->size_bytes;
    return packet;
}

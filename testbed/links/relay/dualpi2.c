#include "dualpi2.h"

#define MTU_BYTES 1500

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

/* The credit begins anew whenever the link has nothing to send, as Linux's does when it asks in vain. */
void dualpi2_rest(struct dualpi2 *dual)
{
    dual->credit = (int64_t)MTU_BYTES * ((int64_t)dual->classic_share - (100 - (int64_t)dual->classic_share));
}

static bool roll(struct dualpi2 *dual, double probability)
{
    return rng_uniform(&dual->rng) < probability;
}

/* Drops and marks of the classic queue: the square of p'. */
static bool roll_twice(struct dualpi2 *dual)
{
    return roll(dual, dual->probability) && roll(dual, dual->probability);
}

void dualpi2_push(struct dualpi2 *dual, struct packet *packet)
{
    update_until(dual, packet->enqueue_ns);
    fifo_push(packet_headers(packet).ecn & 1 ? &dual->l4s : &dual->classic, packet);
}

/* Weighted round robin: L4S first, unless that would leave the classic queue less than its share. *change: what the packet does
 * to the credit if it is sent. */
static struct packet *next(struct dualpi2 *dual, bool *is_l4s, int64_t *change)
{
    *is_l4s = dual->l4s.head && (!dual->classic.head || dual->credit <= 0);
    bool both = dual->l4s.head && dual->classic.head;
    struct packet *packet = fifo_pop(*is_l4s ? &dual->l4s : &dual->classic);
    int64_t weight = *is_l4s ? (int64_t)dual->classic_share : (int64_t)dual->classic_share - 100;
    *change = both ? weight * packet->size_bytes : 0;
    return packet;
}

/* RFC 9332, A.2, with Linux's choices (sch_dualpi2.c): what happens is drawn at random, a backlog of less than two packets is left
 * alone, and the L4S queue's step counts from its first packet on. False: drop it. */
static bool passes(struct dualpi2 *dual, struct packet *packet, bool is_l4s, uint32_t backlog_bytes, bool ecn, int64_t now_ns)
{
    double coupled = dual->coupling * dual->probability;
    bool overload = coupled > 1; /* marks alone cannot control it any more */

    if (backlog_bytes >= 2 * MTU_BYTES) {
        if (!is_l4s && roll_twice(dual) && (overload || !ecn || !packet_mark(packet)))
            return false;
        if (is_l4s && overload && roll_twice(dual))
            return false;
        if (is_l4s && (overload || roll(dual, coupled)))
            packet_mark(packet);
    }
    if (is_l4s && now_ns - packet->enqueue_ns > dual->step_ns)
        packet_mark(packet);
    return true;
}

struct packet *dualpi2_take(struct dualpi2 *dual, uint32_t *bytes, bool ecn, int64_t now_ns, struct fifo *dropped)
{
    struct packet *taken = NULL;

    update_until(dual, now_ns);
    while (!taken && (dual->l4s.head || dual->classic.head)) {
        bool is_l4s;
        int64_t change;
        struct packet *packet = next(dual, &is_l4s, &change);
        *bytes -= packet->size_bytes;
        if (passes(dual, packet, is_l4s, *bytes, ecn, now_ns)) {
            dual->credit += change;
            taken = packet;
        } else {
            fifo_push(dropped, packet);
        }
    }
    return taken;
}

struct packet *dualpi2_empty(struct dualpi2 *dual, uint32_t *bytes)
{
    struct packet *packet = fifo_pop(dual->l4s.head ? &dual->l4s : &dual->classic);
    if (packet)
        *bytes -= packet->size_bytes;
    return packet;
}

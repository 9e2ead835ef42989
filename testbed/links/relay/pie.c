#include "pie.h"

#define MAX_BURST_NS INT64_C(150000000)
#define HIGH_DELAY_NS INT64_C(250000000)
#define MTU_BYTES 1500
#define MAX_MARKED 0.1 /* above this probability ECN's senders do not obey, and packets are dropped (RFC 8033, 5.1) */

void pie_init(struct pie *pie)
{
    pie->burst_ns = MAX_BURST_NS;
}

/* RFC 8033, 4.2: the gains grow with the probability. */
static double tuning(double probability)
{
    double scale = 1, bound = 0.1;
    if (probability < bound) {
        scale = 0.5;
        for (bound = 0.01; probability < bound && bound > 0.5e-6; bound /= 10)
            scale /= 4;
    }
    return scale;
}

/* RFC 8033, 4.2 and 5.5, as Linux's pie_calculate_probability. */
static void update(struct pie *pie)
{
    bool decay = pie->qdelay_ns || !pie->bytes;
    double scale = tuning(pie->probability);
    double delta = scale * pie->alpha * (double)(pie->qdelay_ns - pie->target_ns) / 1e9 +
                   scale * pie->beta * (double)(pie->qdelay_ns - pie->old_qdelay_ns) / 1e9;

    if (delta > 0.02 && pie->probability >= 0.1)
        delta = 0.02;
    if (pie->qdelay_ns > HIGH_DELAY_NS)
        delta += 0.02;
    pie->probability += delta;
    if (pie->probability > 1) {
        pie->probability = 1;
        decay = false;
    }
    if (pie->probability < 0)
        pie->probability = 0;
    if (!pie->qdelay_ns && !pie->old_qdelay_ns && decay)
        pie->probability -= pie->probability / 64;
    if (pie->qdelay_ns < pie->target_ns / 2 && pie->old_qdelay_ns < pie->target_ns / 2 && !pie->probability) {
        pie->accumulated = 0;
        pie->burst_ns = MAX_BURST_NS;
        pie->departed_ns = 0;
    }
    pie->old_qdelay_ns = pie->qdelay_ns;
}

static void update_until(struct pie *pie, int64_t now_ns)
{
    if (!pie->update_ns)
        pie->update_ns = now_ns + pie->tupdate_ns;
    for (; pie->update_ns <= now_ns; pie->update_ns += pie->tupdate_ns) {
        update(pie);
        if (!pie->probability && !pie->qdelay_ns && !pie->old_qdelay_ns) { /* at rest: nothing changes any more */
            pie->update_ns += (now_ns - pie->update_ns) / pie->tupdate_ns * pie->tupdate_ns;
        }
    }
}

/* RFC 8033, 4.1, 4.3 and 5.3 (derandomised). A sum that has grown to 8.5 stays, as in Linux: only a drop begins it anew
 * (pie_admits), and every packet is marked until then or until the queue is short. */
static bool early(struct pie *pie, uint32_t bytes)
{
    if (pie->burst_ns > 0 || bytes < 2 * MTU_BYTES)
        return false;
    if (pie->qdelay_ns < pie->target_ns / 2 && pie->probability < 0.2)
        return false;
    pie->accumulated = pie->probability > 0 ? pie->accumulated + pie->probability : 0;
    if (pie->accumulated < 0.85)
        return false;
    if (pie->accumulated >= 8.5)
        return true;
    if (rng_uniform(&pie->rng) >= pie->probability)
        return false;
    pie->accumulated = 0;
    return true;
}

bool pie_admits(struct pie *pie, struct packet *packet, uint32_t bytes, bool ecn)
{
    update_until(pie, packet->enqueue_ns);
    bool admitted = true;
    if (early(pie, bytes))
        admitted = ecn && pie->probability <= MAX_MARKED && packet_mark(packet);
    if (!admitted)
        pie->accumulated = 0;
    pie->bytes = bytes + (admitted ? packet->size_bytes : 0);
    return admitted;
}

void pie_departs(struct pie *pie, const struct packet *packet, uint32_t bytes, int64_t now_ns)
{
    update_until(pie, now_ns);
    int64_t since_ns = pie->departed_ns ? now_ns - pie->departed_ns : 0;
    pie->qdelay_ns = bytes ? now_ns - packet->enqueue_ns : 0;
    pie->bytes = bytes;
    pie->departed_ns = now_ns;
    pie->burst_ns = pie->burst_ns > since_ns ? pie->burst_ns - since_ns : 0;
}

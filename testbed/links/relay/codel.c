#include "codel.h"

#define MAX_PACKET_BYTES 1500

struct source {
    struct packet *(*pop)(void *of);
    void *of;
    const uint32_t *bytes;
};

/* RFC 8289, 5.5: the head, and whether the sojourn time has been above target for an interval. */
static struct packet *codel_pop(struct codel *codel, const struct source *source, int64_t now_ns, bool *ok_to_drop)
{
    struct packet *packet = source->pop(source->of);

    *ok_to_drop = false;
    if (!packet || now_ns - packet->enqueue_ns < codel->target_ns || *source->bytes <= MAX_PACKET_BYTES)
        codel->first_above_ns = 0;
    else if (!codel->first_above_ns)
        codel->first_above_ns = now_ns + codel->interval_ns;
    else
        *ok_to_drop = now_ns >= codel->first_above_ns;
    return packet;
}

/* One step of Newton's method from the last value towards 1 / sqrt(count) (RFC 8289, appendix A; Linux's codel_Newton_step). After
 * the first drops it is not there yet: the second follows half an interval after the first, not 0.71 of it. */
static void step_inverse_root(struct codel *codel)
{
    uint64_t root = (uint64_t)codel->inverse_root << 16;
    uint64_t value = (UINT64_C(3) << 32) - codel->count * ((root * root) >> 32);
    codel->inverse_root = (uint16_t)(((value >> 2) * root) >> 31 >> 16);
}

static int64_t control_law_ns(const struct codel *codel, int64_t from_ns)
{
    int64_t wait_ns = codel->interval_ns * codel->inverse_root >> 16;
    return from_ns + (wait_ns > 0 ? wait_ns : 1);
}

/* RFC 8289, 5.6; a mark counts as a drop, but the packet goes (as Linux's include/net/codel_impl.h). */
struct packet *codel_take(struct codel *codel, struct packet *(*pop)(void *of), void *of, const uint32_t *bytes, bool ecn,
                          int64_t now_ns, struct fifo *dropped)
{
    const struct source source = {pop, of, bytes};
    bool ok_to_drop;
    struct packet *packet = codel_pop(codel, &source, now_ns, &ok_to_drop);

    if (codel->dropping) {
        if (!ok_to_drop)
            codel->dropping = false;
        while (codel->dropping && now_ns >= codel->drop_next_ns) {
            codel->count++;
            step_inverse_root(codel);
            if (ecn && packet_mark(packet)) {
                codel->drop_next_ns = control_law_ns(codel, codel->drop_next_ns);
                break;
            }
            fifo_push(dropped, packet);
            packet = codel_pop(codel, &source, now_ns, &ok_to_drop);
            if (ok_to_drop)
                codel->drop_next_ns = control_law_ns(codel, codel->drop_next_ns);
            else
                codel->dropping = false;
        }
    } else if (ok_to_drop) {
        if (!ecn || !packet_mark(packet)) {
            fifo_push(dropped, packet);
            packet = codel_pop(codel, &source, now_ns, &ok_to_drop);
        }
        codel->dropping = true;
        /* A queue that was controlled a moment ago goes on with the drop rate that controlled it. */
        uint32_t delta = codel->count - codel->last_count;
        bool recent = codel->drop_next_ns && now_ns - codel->drop_next_ns < 16 * codel->interval_ns;
        if (delta > 1 && recent) {
            codel->count = delta;
            step_inverse_root(codel);
        } else {
            codel->count = 1;
            codel->inverse_root = UINT16_MAX;
        }
        codel->drop_next_ns = control_law_ns(codel, now_ns);
        codel->last_count = codel->count;
    }
    return packet;
}

#include "codel.h"

#include <math.h>

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

static int64_t control_law_ns(const struct codel *codel, int64_t from_ns)
{
    return from_ns + (int64_t)((double)codel->interval_ns / sqrt(codel->count));
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
        bool recent = now_ns - codel->drop_next_ns < 16 * codel->interval_ns;
        codel->count = delta > 1 && recent ? delta : 1;
        codel->drop_next_ns = control_law_ns(codel, now_ns);
        codel->last_count = codel->count;
    }
    return packet;
}

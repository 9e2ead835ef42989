#include "queue.h"

#include <math.h>

#define MAX_PACKET_BYTES 1500

bool queue_offer(struct queue *queue, struct packet *packet, uint32_t sending_bytes)
{
    if ((uint64_t)queue->bytes + sending_bytes + packet->size_bytes > queue->limit_bytes)
        return false;
    fifo_push(&queue->waiting, packet);
    queue->bytes += packet->size_bytes;
    return true;
}

static struct packet *pop(struct queue *queue)
{
    struct packet *packet = fifo_pop(&queue->waiting);
    if (packet)
        queue->bytes -= packet->size_bytes;
    return packet;
}

/* RFC 8289, 5.5: the head, and whether the sojourn time has been above target for an interval. */
static struct packet *codel_pop(struct queue *queue, int64_t now_ns, bool *ok_to_drop)
{
    struct codel *codel = &queue->codel;
    struct packet *packet = pop(queue);

    *ok_to_drop = false;
    if (!packet || now_ns - packet->enqueue_ns < codel->target_ns || queue->bytes <= MAX_PACKET_BYTES)
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

/* RFC 8289, 5.6. */
static struct packet *codel_take(struct queue *queue, int64_t now_ns, struct fifo *dropped)
{
    struct codel *codel = &queue->codel;
    bool ok_to_drop;
    struct packet *packet = codel_pop(queue, now_ns, &ok_to_drop);

    if (codel->dropping) {
        if (!ok_to_drop)
            codel->dropping = false;
        while (codel->dropping && now_ns >= codel->drop_next_ns) {
            fifo_push(dropped, packet);
            codel->count++;
            packet = codel_pop(queue, now_ns, &ok_to_drop);
            if (ok_to_drop)
                codel->drop_next_ns = control_law_ns(codel, codel->drop_next_ns);
            else
                codel->dropping = false;
        }
    } else if (ok_to_drop) {
        fifo_push(dropped, packet);
        packet = codel_pop(queue, now_ns, &ok_to_drop);
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

struct packet *queue_take(struct queue *queue, int64_t now_ns, struct fifo *dropped)
{
    return queue->use_codel ? codel_take(queue, now_ns, dropped) : pop(queue);
}

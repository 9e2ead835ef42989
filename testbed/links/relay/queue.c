#include "queue.h"

static struct packet *pop(void *of)
{
    struct queue *queue = of;
    struct packet *packet = fifo_pop(&queue->waiting);
    if (packet)
        queue->bytes -= packet->size_bytes;
    return packet;
}

enum verdict queue_offer(struct queue *queue, struct packet *packet, uint32_t sending_bytes, struct fifo *dropped)
{
    uint64_t needed = (uint64_t)queue->bytes + sending_bytes + packet->size_bytes;

    /* fq_codel makes room at the expense of the longest flow instead. */
    if (needed > queue->limit_bytes && queue->discipline != FQ_CODEL) {
        if (queue->discipline == PIE)
            queue->pie.accumulated = 0; /* for Linux a drop as any other */
        return TAIL_DROP;
    }
    if (queue->discipline == PIE && !pie_admits(&queue->pie, packet, queue->bytes, queue->ecn))
        return AQM_DROP;
    if (!queue->bytes)
        queue->since_ns = packet->enqueue_ns;
    queue->bytes += packet->size_bytes;
    if (queue->discipline == FQ_CODEL) {
        fq_codel_push(&queue->fq, packet);
        while ((uint64_t)queue->bytes + sending_bytes > queue->limit_bytes)
            queue->bytes -= fq_codel_shrink(&queue->fq, dropped);
    } else if (queue->discipline == DUALPI2) {
        if (queue->bytes == packet->size_bytes && !sending_bytes)
            dualpi2_rest(&queue->dual);
        dualpi2_push(&queue->dual, packet);
    } else {
        fifo_push(&queue->waiting, packet);
    }
    return DELIVERED;
}

struct packet *queue_take(struct queue *queue, int64_t now_ns, struct fifo *dropped)
{
    struct packet *packet;

    switch (queue->discipline) {
    case CODEL:
        return codel_take(&queue->codel, pop, queue, &queue->bytes, queue->ecn, now_ns, dropped);
    case FQ_CODEL:
        return fq_codel_take(&queue->fq, &queue->bytes, queue->ecn, now_ns, dropped);
    case PIE:
        packet = pop(queue);
        if (packet)
            pie_departs(&queue->pie, packet, queue->bytes, now_ns);
        return packet;
    case DUALPI2:
        return dualpi2_take(&queue->dual, &queue->bytes, queue->ecn, now_ns, dropped);
    default:
        return pop(queue);
    }
}

struct packet *queue_empty(struct queue *queue)
{
    switch (queue->discipline) {
    case FQ_CODEL:
        return fq_codel_empty(&queue->fq, &queue->bytes);
    case DUALPI2:
        return dualpi2_empty(&queue->dual, &queue->bytes);
    default:
        return pop(queue);
    }
}

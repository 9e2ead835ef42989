/* The relay's disciplines as a side. */
#include <stdlib.h>
#include <string.h>

#include "queue.h"
#include "side.h"

#define ITEM_AT 64 /* in the packet's data, behind its headers */
#define PACKET_BYTES 1500

static const struct codel CODEL_DEFAULTS = {.target_ns = 5000000, .interval_ns = 100000000};

static void *make(enum kind kind, bool ecn, uint32_t limit_packets, uint64_t seed)
{
    struct queue *queue = calloc(1, sizeof *queue);
    queue->limit_bytes = limit_packets * PACKET_BYTES;
    queue->ecn = ecn;
    if (kind == FIFO_CODEL) {
        queue->discipline = CODEL;
        queue->codel = CODEL_DEFAULTS;
    } else if (kind == FAIR_CODEL) {
        queue->discipline = FQ_CODEL;
        queue->fq.count = FLOWS;
        queue->fq.quantum_bytes = PACKET_BYTES;
        queue->fq.flows = calloc(FLOWS, sizeof *queue->fq.flows);
        for (unsigned i = 0; i < FLOWS; i++)
            queue->fq.flows[i].codel = CODEL_DEFAULTS;
    } else if (kind == ONLY_PIE) {
        queue->discipline = PIE;
        queue->pie = (struct pie){.target_ns = 15000000, .tupdate_ns = TUPDATE_NS, .alpha = 2 / 16.0, .beta = 20 / 16.0};
        queue->pie.rng = rng_stream(seed, 4);
        pie_init(&queue->pie);
    } else {
        queue->discipline = DUALPI2;
        queue->dual = (struct dualpi2){.target_ns = 15000000, .tupdate_ns = 16000000, .step_ns = 1000000, .alpha = 41 / 256.0,
                                       .beta = 819 / 256.0, .coupling = 2, .classic_share = 10};
        queue->dual.rng = rng_stream(seed, 8);
        dualpi2_rest(&queue->dual);
    }
    return queue;
}

static struct item *item_of(struct packet *packet)
{
    struct item *item;
    memcpy(&item, packet->data + ITEM_AT, sizeof item);
    item->marked = packet->marked;
    packet_free(packet);
    return item;
}

static void drop_all(struct fifo *left)
{
    struct packet *packet;
    while ((packet = fifo_pop(left)))
        dropped(item_of(packet));
}

static void offer(void *of, struct item *item, int64_t now_ns, bool sending)
{
    struct packet *packet = packet_new();
    packet->enqueue_ns = now_ns;
    packet->size_bytes = PACKET_BYTES;
    packet->marked = packet->copy = false;
    memset(packet->data, 0, ITEM_AT);
    packet->data[0] = 0x45;
    packet->data[1] = item->ecn;
    packet->data[9] = 17;
    packet->data[20] = (uint8_t)(item->flow >> 8);
    packet->data[21] = (uint8_t)item->flow;
    memcpy(packet->data + ITEM_AT, &item, sizeof item);
    struct fifo displaced = {0};
    if (queue_offer(of, packet, sending ? PACKET_BYTES : 0, &displaced) != DELIVERED)
        dropped(item_of(packet));
    drop_all(&displaced);
}

static struct item *take(void *of, int64_t now_ns)
{
    struct queue *queue = of;
    struct fifo left = {0};
    struct packet *packet = queue->bytes ? queue_take(queue, now_ns, &left) : NULL;
    drop_all(&left);
    return packet ? item_of(packet) : NULL;
}

/* The relay's disciplines work out what was due when the next packet comes or goes. */
static int64_t timer(void *of, int64_t now_ns)
{
    (void)of;
    (void)now_ns;
    return INT64_MAX;
}

const struct side relay = {make, offer, take, timer};

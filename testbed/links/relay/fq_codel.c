#include "fq_codel.h"

#define DROP_BATCH_PACKETS 64

static void append(struct fq_list *list, struct fq_flow *flow)
{
    flow->next = NULL;
    flow->listed = true;
    if (list->head)
        list->tail->next = flow;
    else
        list->head = flow;
    list->tail = flow;
}

static struct fq_flow *remove_first(struct fq_list *list)
{
    struct fq_flow *flow = list->head;
    list->head = flow->next;
    flow->listed = false;
    return flow;
}

/* MurmurHash3's finaliser over the five fields in turn. */
static uint32_t hash(const struct packet *packet)
{
    const struct headers headers = packet_headers(packet);
    const uint32_t words[] = {headers.source, headers.destination, headers.protocol,
                              (uint32_t)headers.source_port << 16 | headers.destination_port};
    uint32_t mixed = 0;
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        mixed ^= words[i];
        mixed ^= mixed >> 16;
        mixed *= 0x85ebca6b;
        mixed ^= mixed >> 13;
        mixed *= 0xc2b2ae35;
        mixed ^= mixed >> 16;
    }
    return mixed;
}

/* RFC 8290, 4.1. */
void fq_codel_push(struct fq_codel *fq, struct packet *packet)
{
    struct fq_flow *flow = &fq->flows[hash(packet) % fq->count];
    fifo_push(&flow->waiting, packet);
    flow->bytes += packet->size_bytes;
    if (!flow->listed) {
        flow->deficit = fq->quantum_bytes;
        append(&fq->fresh, flow);
    }
}

uint32_t fq_codel_shrink(struct fq_codel *fq, struct fifo *dropped)
{
    struct fq_flow *longest = &fq->flows[0];
    for (uint32_t i = 1; i < fq->count; i++)
        if (fq->flows[i].bytes > longest->bytes)
            longest = &fq->flows[i];
    uint32_t enough = longest->bytes / 2, freed = 0;
    for (unsigned i = 0; i < DROP_BATCH_PACKETS && (!i || freed < enough); i++) {
        struct packet *packet = fifo_pop(&longest->waiting);
        if (!packet)
            break;
        freed += packet->size_bytes;
        longest->bytes -= packet->size_bytes;
        longest->codel.count++; /* Linux's CoDel goes on from there */
        fifo_push(dropped, packet);
    }
    return freed;
}

struct served {
    struct fq_flow *flow;
    uint32_t *bytes;
};

static struct packet *pop(void *of)
{
    struct served *served = of;
    struct packet *packet = fifo_pop(&served->flow->waiting);
    if (packet) {
        served->flow->bytes -= packet->size_bytes;
        *served->bytes -= packet->size_bytes;
    }
    return packet;
}

/* RFC 8290, 4.2. */
struct packet *fq_codel_take(struct fq_codel *fq, uint32_t *bytes, bool ecn, int64_t now_ns, struct fifo *dropped)
{
    for (;;) {
        struct fq_list *list = fq->fresh.head ? &fq->fresh : &fq->old;
        struct fq_flow *flow = list->head;
        if (!flow)
            return NULL;
        if (flow->deficit <= 0) {
            flow->deficit += fq->quantum_bytes;
            append(&fq->old, remove_first(list));
            continue;
        }
        struct served served = {flow, bytes};
        struct packet *packet = codel_take(&flow->codel, pop, &served, bytes, ecn, now_ns, dropped);
        if (packet) {
            flow->deficit -= (int32_t)packet->size_bytes;
            return packet;
        }
        /* An empty new flow passes once through the old ones, or it could stay new for ever. */
        remove_first(list);
        if (list == &fq->fresh && fq->old.head)
            append(&fq->old, flow);
    }
}

struct packet *fq_codel_empty(struct fq_codel *fq, uint32_t *bytes)
{
    for (uint32_t i = 0; i < fq->count; i++) {
        struct served served = {&fq->flows[i], bytes};
        struct packet *packet = pop(&served);
        if (packet)
            return packet;
    }
    return NULL;
}

/* FlowQueue-CoDel (RFC 8290): a queue with CoDel per flow, served by deficit round robin, new flows first. */
#pragma once

#include "codel.h"

struct fq_flow {
    struct fifo waiting;
    uint32_t bytes;
    int32_t deficit;
    bool listed; /* among the new or the old flows */
    struct fq_flow *next;
    struct codel codel;
};

struct fq_list {
    struct fq_flow *head, *tail;
};

struct fq_codel {
    uint32_t count; /* of flows; which one a packet belongs to is hashed from addresses, ports and protocol */
    int32_t quantum_bytes;
    struct fq_flow *flows;
    struct fq_list fresh, old;
};

void fq_codel_push(struct fq_codel *fq, struct packet *packet);

/* Drops from the head of the longest flow: half of its bytes, but at most 64 packets (RFC 8290, 4.1). Returns the bytes. */
uint32_t fq_codel_shrink(struct fq_codel *fq, struct fifo *dropped);

/* As queue_take; *bytes is the backlog of all flows and is kept. */
struct packet *fq_codel_take(struct fq_codel *fq, uint32_t *bytes, bool ecn, int64_t now_ns, struct fifo *dropped);

struct packet *fq_codel_empty(struct fq_codel *fq, uint32_t *bytes);

/* PIE (RFC 8033), with the queueing delay by timestamps (5.2's alternative, Linux's default). */
#pragma once

#include "packet.h"
#include "random.h"

struct pie {
    int64_t target_ns, tupdate_ns;
    double alpha, beta; /* per second of delay, per update */

    int64_t update_ns; /* when the probability is worked out next; 0: nothing has come yet */
    double probability, accumulated;
    int64_t qdelay_ns, old_qdelay_ns; /* sojourn of the last packet that left; 0 once it left an empty queue */
    int64_t burst_ns;                 /* allowance left */
    int64_t departed_ns;              /* when it did; 0: none yet */
    uint32_t bytes;                   /* backlog behind the last event */
    struct rng rng;
};

void pie_init(struct pie *pie);

/* Whether a packet that arrived at its enqueue_ns at a backlog of `bytes` enters, perhaps marked. */
bool pie_admits(struct pie *pie, struct packet *packet, uint32_t bytes, bool ecn);

/* A packet has left at now_ns, leaving `bytes` behind. */
void pie_departs(struct pie *pie, const struct packet *packet, uint32_t bytes, int64_t now_ns);

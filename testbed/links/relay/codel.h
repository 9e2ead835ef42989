/* CoDel (RFC 8289), for a queue of its own or for one of fq_codel's. */
#pragma once

#include "packet.h"

struct codel {
    int64_t target_ns, interval_ns;
    int64_t first_above_ns; /* when the sojourn time will have been above target for an interval; 0: it is below */
    int64_t drop_next_ns;
    uint32_t count, last_count;
    uint16_t inverse_root; /* of count, in 65536ths, as near as Linux knows it */
    bool dropping;
};

/* The next packet at now_ns, or NULL. `pop` takes the head of the queue `of`; *bytes is the backlog of the whole queue, below
 * a packet of which nothing is dropped. A packet to drop is marked instead where `ecn` and the packet allow it. */
struct packet *codel_take(struct codel *codel, struct packet *(*pop)(void *of), void *of, const uint32_t *bytes, bool ecn,
                          int64_t now_ns, struct fifo *dropped);

/* The waiting room of a direction: a byte-limited FIFO, drop-tail or CoDel (RFC 8289). */
#pragma once

#include <stdbool.h>

#include "packet.h"

struct codel {
    int64_t target_ns, interval_ns;
    int64_t first_above_ns; /* when the sojourn time will have been above target for an interval; 0: it is below */
    int64_t drop_next_ns;
    uint32_t count, last_count;
    bool dropping;
};

struct queue {
    struct fifo waiting;
    uint32_t bytes; /* waiting, without the packet being sent */
    uint32_t limit_bytes;
    bool use_codel;
    struct codel codel;
};

/* False if the packet does not fit beside `sending_bytes`, the size of the packet being sent: a tail drop. */
bool queue_offer(struct queue *queue, struct packet *packet, uint32_t sending_bytes);

/* The next packet to send at now_ns, or NULL; what CoDel drops on the way goes to *dropped. */
struct packet *queue_take(struct queue *queue, int64_t now_ns, struct fifo *dropped);

/* One direction of the link: policer, queue and rate, then loss, then the delay line. Pure: takes the time, touches no device. */
#pragma once

#include "counters.h"
#include "loss.h"
#include "playback.h"
#include "policer.h"
#include "queue.h"
#include "wifi.h"

struct direction {
    unsigned id; /* 0 forward, 1 reverse */
    struct queue queue;
    struct playback playback;
    struct policer policer;
    struct wifi wifi;
    int64_t delay_ns, jitter_ns;
    struct loss loss;
    double reorder, duplicate; /* probabilities per packet behind the queue */
    int64_t reorder_ns;        /* by how much a reordered packet is later */
    struct rng trace_loss_rng, jitter_rng, reorder_rng, duplicate_rng;

    struct packet *sending; /* holds the rate server until its due_ns */
    int64_t free_ns;        /* when the server finished its last packet */
    struct fifo line;       /* on their way, in order of delivery ... */
    int64_t last_deliver_ns;
    struct fifo late;       /* ... and those held back so that others overtake them, in order as well */
    int64_t last_late_ns;
    struct direction_counters *counters;
};

/* Prepares the random streams and the cursor after the settings have been filled in. */
void direction_init(struct direction *direction, uint64_t seed);

/* Takes a packet that arrived at now_ns; owns it from now on. */
void direction_arrive(struct direction *direction, struct packet *packet, int64_t now_ns);

/* Lets the queue work up to now_ns. */
void direction_advance(struct direction *direction, int64_t now_ns);

/* The next packet whose delivery is due at now_ns, or NULL. The caller delivers, calls direction_delivered and frees it. */
struct packet *direction_due(struct direction *direction, int64_t now_ns);
void direction_delivered(struct direction *direction, const struct packet *packet, int64_t now_ns);

/* When to call again if nothing arrives; NEVER if there is nothing to do. */
int64_t direction_next_ns(struct direction *direction);

/* Logs what is still inside as such and lets go of it. */
void direction_end(struct direction *direction);

/* The waiting room of a direction: a byte-limited queue under one of five disciplines. Pure: takes the time. */
#pragma once

#include "dualpi2.h"
#include "fq_codel.h"
#include "pie.h"

enum discipline { DROPTAIL, CODEL, FQ_CODEL, PIE, DUALPI2 };

struct queue {
    enum discipline discipline;
    uint32_t bytes; /* waiting, without the packet being sent */
    uint32_t limit_bytes;
    bool ecn;         /* mark instead of dropping what can be marked */
    int64_t since_ns; /* when the first packet came into the empty queue */
    struct fifo waiting; /* droptail, codel, pie */
    union {
        struct codel codel;
        struct fq_codel fq;
        struct pie pie;
        struct dualpi2 dual;
    };
};

/* Takes the packet, which arrived at its enqueue_ns, and returns DELIVERED; or refuses it and returns TAIL_DROP if it does
 * not fit beside `sending_bytes`, the size of the packet being sent, or AQM_DROP. What others had to leave for it goes to
 * *dropped: tail drops, too. */
enum verdict queue_offer(struct queue *queue, struct packet *packet, uint32_t sending_bytes, struct fifo *dropped);

/* The next packet to send at now_ns, or NULL; what the discipline drops on the way goes to *dropped. */
struct packet *queue_take(struct queue *queue, int64_t now_ns, struct fifo *dropped);

/* Any packet that still waits, or NULL: for the end. */
struct packet *queue_empty(struct queue *queue);

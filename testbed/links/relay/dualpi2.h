/* DualPI2 (RFC 9332, appendix A): a queue for L4S (ECT(1) and CE), one for the rest, coupled by one PI controller. */
#pragma once

#include "packet.h"
#include "random.h"

struct dualpi2 {
    int64_t target_ns, tupdate_ns, step_ns;
    double alpha, beta; /* per second of delay, per update */
    double coupling;
    uint32_t classic_share; /* per cent of the capacity that the classic queue has at least */

    struct fifo l4s, classic;
    int64_t update_ns; /* when the probability is worked out next; 0: nothing has come yet */
    int64_t old_qdelay_ns;
    double probability; /* p' of the RFC: classic drops are its square, L4S marks its multiple */
    int64_t credit;     /* weighted bytes of L4S sent before classic ones that waited */
    struct rng rng;
};

/* Nothing waits and nothing is being sent. */
void dualpi2_rest(struct dualpi2 *dual);

void dualpi2_push(struct dualpi2 *dual, struct packet *packet);

/* As queue_take; *bytes is the backlog of both queues and is kept. */
struct packet *dualpi2_take(struct dualpi2 *dual, uint32_t *bytes, bool ecn, int64_t now_ns, struct fifo *dropped);

struct packet *dualpi2_empty(struct dualpi2 *dual, uint32_t *bytes);

/* Gilbert-Elliott loss: a two-state chain that moves before every packet; independent loss is the one-state case. */
#pragma once

#include <stdbool.h>

#include "random.h"

struct loss {
    double p_good_bad, p_bad_good, loss_good, loss_bad;
    bool bad;
    struct rng rng;
};

static inline bool loss_draw(struct loss *loss)
{
    double move = loss->bad ? loss->p_bad_good : loss->p_good_bad;
    if (move > 0 && rng_uniform(&loss->rng) < move)
        loss->bad = !loss->bad;
    double p = loss->bad ? loss->loss_bad : loss->loss_good;
    return p > 0 && rng_uniform(&loss->rng) < p;
}

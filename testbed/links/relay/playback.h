/* The trace as a server: when may the next packet start, and when has it been carried?
 *
 * Everything is computed from the trace's own times, never from when the program woke up, so errors of the timer do not
 * add up. Calls must come in order of time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"

struct step {
    int64_t start_ns;
    double rate_bps;
    int64_t delay_ns; /* one-way, added to the direction's own */
    double loss;      /* probability per packet */
};

struct opportunity {
    int64_t at_ns;
    int64_t bytes;
};

struct playback {
    enum { UNLIMITED, STEPS, OPPORTUNITIES } form;
    struct step *steps;
    struct opportunity *opportunities;
    size_t count;
    int64_t period_ns; /* 0: the last step holds; nothing after the last opportunity */
    double before_bps; /* capacity before time zero */
    int64_t zero_ns;   /* the trace's time zero, NEVER until known */

    bool running;      /* the cursor has passed time zero */
    size_t index;      /* the cursor: step or opportunity ... */
    int64_t cycle_ns;  /* ... of the repetition that began then */
    int64_t left_bytes; /* of the opportunity under the cursor */
    int64_t finish_ns;  /* end of the last packet ... */
    double fraction_ns; /* ... and what the integer cut off: carried over, so rates are exact */
};

/* Sets the cursor to the beginning; fill in the trace first. */
void playback_init(struct playback *playback);

/* First time at or after from_ns at which there is capacity: when the next packet leaves the waiting queue. */
int64_t playback_ready(struct playback *playback, int64_t from_ns);

/* When a packet that starts at from_ns, a time given by playback_ready, has been carried. NEVER if it never is.
 *
 * Steps: the time at which the integral of the rate since from_ns reaches the packet's size.
 * Opportunities, after Mahimahi's link_queue: each carries up to its bytes, of several small packets or of a part of a
 * large one; what it does not use because the queue is empty is lost. */
int64_t playback_carry(struct playback *playback, int64_t from_ns, uint32_t bytes);

/* The step under the cursor, for its delay and loss; NULL unless the trace has steps. */
const struct step *playback_step(const struct playback *playback);

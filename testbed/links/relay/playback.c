#include "playback.h"

void playback_init(struct playback *playback)
{
    playback->zero_ns = NEVER;
    playback->running = false;
    playback->index = 0;
    playback->finish_ns = -1;
    playback->fraction_ns = 0;
}

static double segment_bps(const struct playback *playback)
{
    return playback->running ? playback->steps[playback->index].rate_bps : playback->before_bps;
}

static int64_t segment_end_ns(const struct playback *playback)
{
    if (!playback->running)
        return playback->zero_ns;
    if (playback->index + 1 < playback->count)
        return playback->cycle_ns + playback->steps[playback->index + 1].start_ns;
    return playback->period_ns ? playback->cycle_ns + playback->period_ns : NEVER;
}

static int64_t segment_start_ns(const struct playback *playback)
{
    return playback->running ? playback->cycle_ns + playback->steps[playback->index].start_ns : INT64_MIN;
}

/* Moves the cursor to the next step or opportunity; false at the end of a trace that does not repeat. */
static bool next(struct playback *playback)
{
    if (!playback->running) {
        playback->running = true;
        playback->index = 0;
        playback->cycle_ns = playback->zero_ns;
    } else if (++playback->index == playback->count) {
        if (!playback->period_ns) {
            playback->index--;
            playback->left_bytes = 0;
            return false;
        }
        playback->index = 0;
        playback->cycle_ns += playback->period_ns;
    }
    if (playback->form == OPPORTUNITIES)
        playback->left_bytes = playback->opportunities[playback->index].bytes;
    return true;
}

static int64_t opportunity_ns(const struct playback *playback)
{
    return playback->cycle_ns + playback->opportunities[playback->index].at_ns;
}

/* Whole repetitions can be skipped at once: a link may have been idle for long, or time zero long past. */
static void skip_cycles(struct playback *playback, int64_t to_ns)
{
    if (playback->running && playback->period_ns && to_ns - playback->cycle_ns > 2 * playback->period_ns)
        playback->cycle_ns += ((to_ns - playback->cycle_ns) / playback->period_ns - 1) * playback->period_ns;
}

static void seek_segment(struct playback *playback, int64_t to_ns)
{
    skip_cycles(playback, to_ns);
    while (segment_end_ns(playback) <= to_ns)
        next(playback);
}

static int64_t ready_in_steps(struct playback *playback, int64_t from_ns)
{
    seek_segment(playback, from_ns);
    for (size_t tried = 0; segment_bps(playback) <= 0; tried++) {
        if (segment_end_ns(playback) == NEVER || tried > playback->count + 1) /* a whole repetition without capacity */
            return NEVER;
        next(playback);
    }
    int64_t start_ns = segment_start_ns(playback);
    return from_ns > start_ns ? from_ns : start_ns;
}

static int64_t ready_in_opportunities(struct playback *playback, int64_t from_ns)
{
    if (!playback->running && from_ns < playback->zero_ns)
        return from_ns;
    if (!playback->running)
        next(playback);
    skip_cycles(playback, from_ns);
    while (!playback->left_bytes || opportunity_ns(playback) < from_ns)
        if (!next(playback))
            return NEVER;
    return opportunity_ns(playback);
}

int64_t playback_ready(struct playback *playback, int64_t from_ns)
{
    switch (playback->form) {
    case STEPS:
        return ready_in_steps(playback, from_ns);
    case OPPORTUNITIES:
        return ready_in_opportunities(playback, from_ns);
    default:
        return from_ns;
    }
}

/* Carries `bits` at constant rates from from_ns on until `end` of the segments or of the phase before time zero.
 * Returns the finish, or NEVER with what is left in *bits and the cursor behind the phase. */
static int64_t carry_at_rates(struct playback *playback, int64_t from_ns, double *bits, bool only_before)
{
    double fraction_ns = from_ns == playback->finish_ns ? playback->fraction_ns : 0;
    for (size_t tried = 0; tried <= playback->count + 1;) {
        double rate_bps = segment_bps(playback);
        int64_t end_ns = segment_end_ns(playback);
        if (rate_bps > 0) {
            double span_ns = fraction_ns + *bits * 1e9 / rate_bps;
            if (end_ns == NEVER ? span_ns < 9e18 : span_ns <= (double)(end_ns - from_ns)) {
                int64_t whole_ns = (int64_t)span_ns;
                playback->finish_ns = from_ns + whole_ns;
                playback->fraction_ns = span_ns - (double)whole_ns;
                return playback->finish_ns;
            }
            *bits -= ((double)(end_ns - from_ns) - fraction_ns) * rate_bps / 1e9;
            if (*bits < 0)
                *bits = 0;
            tried = 0;
        } else {
            tried++;
        }
        if (end_ns == NEVER)
            return NEVER;
        next(playback);
        if (only_before)
            return NEVER;
        from_ns = end_ns;
        fraction_ns = 0;
    }
    return NEVER;
}

/* Rounded up. */
static int64_t bytes_of(double bits)
{
    int64_t bytes = (int64_t)(bits / 8);
    return (double)bytes < bits / 8 ? bytes + 1 : bytes;
}

static int64_t carry_in_opportunities(struct playback *playback, int64_t bytes)
{
    for (;;) {
        int64_t carried = bytes < playback->left_bytes ? bytes : playback->left_bytes;
        playback->left_bytes -= carried;
        bytes -= carried;
        if (!bytes)
            return opportunity_ns(playback);
        if (!next(playback))
            return NEVER;
    }
}

int64_t playback_carry(struct playback *playback, int64_t from_ns, uint32_t bytes)
{
    double bits = bytes * 8.0;
    if (playback->form == UNLIMITED)
        return from_ns;
    if (playback->form == STEPS)
        return carry_at_rates(playback, from_ns, &bits, false);
    if (!playback->running) {
        int64_t finish_ns = carry_at_rates(playback, from_ns, &bits, true);
        if (finish_ns != NEVER || !playback->running)
            return finish_ns;
    }
    return carry_in_opportunities(playback, bytes_of(bits));
}

const struct step *playback_step(const struct playback *playback)
{
    return playback->form == STEPS ? &playback->steps[playback->index] : NULL;
}

/* duel SIDE KIND ECN L4S FLOWS SECONDS SEED: flows whose windows answer to marks and losses, over one bottleneck.
 *
 * Reno's additive increase and a decrease by half once in a round trip; with L4S 1 every other flow is scalable and sends ECT(1):
 * half a packet less for each mark (RFC 9332, 2.1). Prints, for the plain and the scalable flows: packets delivered, marked,
 * dropped, p50 and p99 of the sojourn (us), and the most packets marked in a row. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "side.h"

#define MAX_FLOWS 64
#define RTT_NS 40000000
#define JITTER_NS 100000 /* of the way back, so that no two flows go in step */
#define WARM_UP_NS 5000000000
#define SILENCE_NS 1000000000 /* after which all that a flow has under way is taken for lost */
#define START_NS 10000000000
#define LIMIT_PACKETS 1000
#define BIN_NS 10000
#define BINS 200000

struct flow {
    double window, threshold;
    int64_t under_way, next_number, recovered, expected, heard_ns, start_ns;
    bool scalable;
};

struct ack {
    int64_t at_ns, number, lost;
    uint32_t flow;
    bool marked;
};

struct seen {
    int64_t delivered, marked, dropped, run, longest_run;
    int64_t sojourn[BINS];
};

static struct flow flows[MAX_FLOWS];
static struct seen seen[2]; /* plain, scalable */
static struct ack acks[1 << 17]; /* a heap */
static size_t ack_count;

void dropped(struct item *item)
{
    if (item->sent_ns >= START_NS + WARM_UP_NS)
        seen[flows[item->flow].scalable].dropped++;
    free(item);
}

static void push_ack(struct ack ack)
{
    size_t at = ack_count++;
    for (; at && acks[(at - 1) / 2].at_ns > ack.at_ns; at = (at - 1) / 2)
        acks[at] = acks[(at - 1) / 2];
    acks[at] = ack;
}

static struct ack pop_ack(void)
{
    struct ack first = acks[0], last = acks[--ack_count];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < ack_count) {
        if (child + 1 < ack_count && acks[child + 1].at_ns < acks[child].at_ns)
            child++;
        if (acks[child].at_ns >= last.at_ns)
            break;
        acks[at] = acks[child];
        at = child;
    }
    acks[at] = last;
    return first;
}

static double halved(double window)
{
    return window > 2 ? window / 2 : 1;
}

static void acknowledged(struct flow *flow, const struct ack *ack, int64_t now_ns)
{
    flow->heard_ns = now_ns;
    flow->under_way -= 1 + ack->lost;
    if (flow->under_way < 0)
        flow->under_way = 0;
    if (ack->marked && flow->scalable && !ack->lost) {
        flow->threshold = flow->window;
        flow->window = flow->window > 1.5 ? flow->window - 0.5 : 1;
    } else if ((ack->marked || ack->lost) && ack->number >= flow->recovered) {
        flow->window = flow->threshold = halved(flow->window);
        flow->recovered = flow->next_number;
    } else if (!ack->marked && !ack->lost) {
        flow->window += flow->window < flow->threshold ? 1 : 1 / flow->window;
    }
}

static void delivered(struct item *item, int64_t now_ns, struct rng *rng)
{
    struct flow *flow = &flows[item->flow];
    if (item->sent_ns >= START_NS + WARM_UP_NS) {
        struct seen *mine = &seen[flow->scalable];
        int64_t bin = (now_ns - PACKET_NS - item->sent_ns) / BIN_NS;
        mine->delivered++;
        mine->marked += item->marked;
        mine->sojourn[bin < BINS ? bin : BINS - 1]++;
        mine->run = item->marked ? mine->run + 1 : 0;
        if (mine->run > mine->longest_run)
            mine->longest_run = mine->run;
    }
    int64_t back_ns = RTT_NS + (int64_t)(rng_uniform(rng) * JITTER_NS);
    push_ack((struct ack){now_ns + back_ns, item->number, item->number - flow->expected, item->flow, item->marked});
    flow->expected = item->number + 1;
    free(item);
}

static struct item *next_item(uint32_t number, struct flow *flow, bool ecn, int64_t now_ns)
{
    struct item *item = calloc(1, sizeof *item);
    item->flow = number;
    item->number = flow->next_number++;
    item->sent_ns = now_ns;
    item->ecn = flow->scalable ? ECT1 : ecn ? ECT0 : NOT_ECT;
    flow->under_way++;
    return item;
}

static double quantile_us(const struct seen *mine, double share)
{
    int64_t left = (int64_t)((double)mine->delivered * share);
    int64_t bin = 0;
    while (bin < BINS - 1 && (left -= mine->sojourn[bin]) >= 0)
        bin++;
    return (double)bin * BIN_NS / 1e3 + BIN_NS / 2e3;
}

int main(int argc, char **argv)
{
    if (argc != 8)
        return 2;
    const struct side *side = strcmp(argv[1], "relay") ? &kernel : &relay;
    bool ecn = atoi(argv[3]), l4s = atoi(argv[4]);
    uint32_t count = (uint32_t)atoi(argv[5]);
    int64_t end_ns = START_NS + WARM_UP_NS + (int64_t)(atof(argv[6]) * 1e9);
    uint64_t seed = strtoull(argv[7], NULL, 10);
    struct rng rng = rng_stream(seed, 1);
    void *queue = side->make((enum kind)atoi(argv[2]), ecn, LIMIT_PACKETS, seed);
    struct item *sending = NULL;
    int64_t now_ns = START_NS, free_ns = 0, look_ns = START_NS, timer_ns = START_NS;

    if (count > MAX_FLOWS)
        return 2;
    for (uint32_t i = 0; i < count; i++)
        flows[i] = (struct flow){.window = 2, .threshold = 6, .heard_ns = START_NS, .start_ns = START_NS + i * RTT_NS / count,
                                 .scalable = l4s && i % 2};
    for (; now_ns < end_ns;) {
        if (timer_ns <= now_ns)
            timer_ns = side->timer(queue, now_ns);
        if (sending && free_ns <= now_ns) {
            delivered(sending, now_ns, &rng);
            sending = NULL;
        }
        while (ack_count && acks[0].at_ns <= now_ns) {
            struct ack ack = pop_ack();
            acknowledged(&flows[ack.flow], &ack, now_ns);
        }
        for (uint32_t i = 0; i < count; i++) {
            struct flow *flow = &flows[i];
            if (flow->under_way && now_ns - flow->heard_ns > SILENCE_NS)
                *flow = (struct flow){.window = 1, .threshold = flow->threshold, .next_number = flow->next_number,
                                      .recovered = flow->recovered, .expected = flow->expected, .heard_ns = now_ns,
                                      .start_ns = flow->start_ns, .scalable = flow->scalable};
            while (now_ns >= flow->start_ns && flow->under_way < (int64_t)flow->window) {
                side->offer(queue, next_item(i, flow, ecn, now_ns), now_ns, sending != NULL);
                if (!sending && (sending = side->take(queue, now_ns)))
                    free_ns = now_ns + PACKET_NS;
            }
        }
        if (!sending && (sending = side->take(queue, now_ns)))
            free_ns = now_ns + PACKET_NS;
        if (look_ns <= now_ns)
            look_ns = now_ns + RTT_NS / count;
        now_ns = look_ns < timer_ns ? look_ns : timer_ns;
        if (ack_count && acks[0].at_ns < now_ns)
            now_ns = acks[0].at_ns;
        if (sending && free_ns < now_ns)
            now_ns = free_ns;
    }
    for (int i = 0; i < 2; i++)
        printf("%" PRId64 " %" PRId64 " %" PRId64 " %g %g %" PRId64 "\n", seen[i].delivered, seen[i].marked, seen[i].dropped,
               quantile_us(&seen[i], 0.5), quantile_us(&seen[i], 0.99), seen[i].longest_run);
    return 0;
}

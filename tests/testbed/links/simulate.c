/* The relay's directions in simulated time, for tests: simulate SPEC ZERO_NS UNTIL_NS
 *
 * Reads "DIRECTION AT_NS BYTES" lines, in order of time; prints the records of the log, one a line. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "spec.h"

static struct spec spec;
static struct counters counters;

void log_packet(const struct packet *packet, unsigned direction, enum verdict verdict, int64_t dequeue_ns, int64_t deliver_ns)
{
    int64_t due_ns = packet->due_ns == NEVER ? -1 : packet->due_ns;
    printf("%u %d %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %u %u\n", direction, verdict, packet->enqueue_ns,
           dequeue_ns, deliver_ns, due_ns, packet->size_bytes, packet->queue_bytes);
}

static void run_until(struct direction *direction, int64_t until_ns)
{
    int64_t next_ns;
    while ((next_ns = direction_next_ns(direction)) <= until_ns && next_ns != NEVER) {
        struct packet *packet;
        direction_advance(direction, next_ns);
        while ((packet = direction_due(direction, next_ns))) {
            direction_delivered(direction, packet, next_ns);
            packet_free(packet);
        }
    }
}

int main(int argc, char **argv)
{
    unsigned id;
    int64_t at_ns;
    uint32_t bytes;

    if (argc != 4)
        return 2;
    spec_read(&spec, argv[1]);
    for (id = 0; id < 2; id++) {
        spec.direction[id].counters = &counters.direction[id];
        spec.direction[id].playback.zero_ns = atoll(argv[2]);
    }
    while (scanf("%u %" SCNd64 " %" SCNu32, &id, &at_ns, &bytes) == 3) {
        struct packet *packet = packet_new();
        packet->size_bytes = bytes;
        run_until(&spec.direction[id], at_ns);
        direction_arrive(&spec.direction[id], packet, at_ns);
    }
    for (id = 0; id < 2; id++) {
        run_until(&spec.direction[id], atoll(argv[3]));
        direction_end(&spec.direction[id]);
    }
    return 0;
}

/* The relay's directions in simulated time, for tests: simulate SPEC ZERO_NS UNTIL_NS
 *
 * Reads "DIRECTION AT_NS BYTES ECN PORT" lines, in order of time; prints the records of the log, one a line. The packets are
 * IPv4 and UDP, from that port. */
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
    printf("%u %d %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %u %u %d %u\n", direction, verdict, packet->enqueue_ns,
           dequeue_ns, deliver_ns, due_ns, packet->size_bytes, packet->queue_bytes, packet->marked,
           packet_headers(packet).source_port);
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
    unsigned ecn, port;

    if (argc != 4)
        return 2;
    spec_read(&spec, argv[1]);
    for (id = 0; id < 2; id++) {
        spec.direction[id].counters = &counters.direction[id];
        spec.direction[id].playback.zero_ns = atoll(argv[2]);
    }
    while (scanf("%u %" SCNd64 " %" SCNu32 " %u %u", &id, &at_ns, &bytes, &ecn, &port) == 5) {
        struct packet *packet = packet_new();
        packet->size_bytes = bytes;
        packet->data[0] = 0x45;
        packet->data[1] = (uint8_t)ecn;
        packet->data[9] = 17;
        packet->data[20] = (uint8_t)(port >> 8);
        packet->data[21] = (uint8_t)port;
        run_until(&spec.direction[id], at_ns);
        direction_arrive(&spec.direction[id], packet, at_ns);
    }
    for (id = 0; id < 2; id++) {
        run_until(&spec.direction[id], atoll(argv[3]));
        direction_end(&spec.direction[id]);
    }
    return 0;
}

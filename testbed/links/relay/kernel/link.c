#include "link.h"

#include "../log.h"
#include "settings.h"

#define RING_RECORDS (1u << 15) /* 1.8 MB */

struct link {
    struct direction *direction; /* [2] */
    struct counters *counters;
    uint64_t produced, consumed; /* records */
    struct record ring[RING_RECORDS];
};

static struct link *at_work; /* whose records log_packet gets */

struct link *link_new(void *settings, unsigned long bytes, void *counters)
{
    if (!settings_unpack(settings, bytes))
        return NULL;
    struct link *link = host_memory(sizeof *link);
    if (!link)
        return NULL;
    link->direction = ((struct settings *)settings)->direction;
    link->counters = counters;
    for (unsigned id = 0; id < 2; id++)
        link->direction[id].counters = &link->counters->direction[id];
    return link;
}

void link_free(struct link *link)
{
    host_free(link);
}

void link_prepare(void)
{
    packet_prepare();
}

struct packet *link_room(struct link *link, unsigned bytes)
{
    struct packet *packet = bytes <= PACKET_MAX_BYTES ? packet_new() : NULL;
    if (packet)
        packet->size_bytes = bytes;
    else
        counter_add(&link->counters->refused, 1);
    return packet;
}

unsigned char *link_data(struct packet *packet)
{
    return packet->data;
}

void link_arrive(struct link *link, unsigned direction, struct packet *packet, long long now_ns)
{
    at_work = link;
    direction_arrive(&link->direction[direction], packet, now_ns);
}

struct packet *link_due(struct link *link, unsigned direction, long long now_ns, unsigned *bytes)
{
    at_work = link;
    direction_advance(&link->direction[direction], now_ns);
    struct packet *packet = direction_due(&link->direction[direction], now_ns);
    if (packet)
        *bytes = packet->size_bytes;
    return packet;
}

void link_delivered(struct link *link, unsigned direction, struct packet *packet, long long now_ns)
{
    at_work = link;
    direction_delivered(&link->direction[direction], packet, now_ns);
    packet_free(packet);
}

long long link_next_ns(struct link *link)
{
    int64_t forward_ns = direction_next_ns(&link->direction[0]), reverse_ns = direction_next_ns(&link->direction[1]);
    return forward_ns < reverse_ns ? forward_ns : reverse_ns;
}

void link_start(struct link *link, long long zero_ns)
{
    for (unsigned id = 0; id < 2; id++)
        link->direction[id].playback.zero_ns = zero_ns;
}

void link_end(struct link *link)
{
    at_work = link;
    for (unsigned id = 0; id < 2; id++)
        direction_end(&link->direction[id]);
}

void log_packet(const struct packet *packet, unsigned direction, enum verdict verdict, int64_t dequeue_ns, int64_t deliver_ns)
{
    if (at_work->produced - at_work->consumed == RING_RECORDS) {
        counter_add(&at_work->counters->lost_records, 1);
        return;
    }
    at_work->ring[at_work->produced++ % RING_RECORDS] = log_record(packet, direction, verdict, dequeue_ns, deliver_ns);
}

unsigned long link_records(struct link *link, const void **at)
{
    uint64_t first = link->consumed % RING_RECORDS, waiting = link->produced - link->consumed;
    *at = &link->ring[first];
    return (waiting < RING_RECORDS - first ? waiting : RING_RECORDS - first) * sizeof *link->ring;
}

void link_take_records(struct link *link, unsigned long bytes)
{
    link->consumed += bytes / sizeof *link->ring;
}

int link_has_records(const struct link *link)
{
    return link->produced - link->consumed >= RING_RECORDS / 4;
}

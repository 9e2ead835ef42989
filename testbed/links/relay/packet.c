#include "packet.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_PACKETS 64 /* few page faults at a time */

static struct packet *unused;
static unsigned allocated;

struct packet *packet_new(void)
{
    if (!unused) {
        if (allocated >= POOL_MAX_PACKETS)
            return NULL;
        struct packet *chunk = calloc(CHUNK_PACKETS, sizeof *chunk);
        if (!chunk)
            return NULL;
        allocated += CHUNK_PACKETS;
        for (size_t i = 0; i < CHUNK_PACKETS; i++)
            packet_free(&chunk[i]);
    }
    struct packet *packet = unused;
    unused = packet->next;
    return packet;
}

void packet_free(struct packet *packet)
{
    packet->next = unused;
    unused = packet;
}

struct ports packet_ports(const struct packet *packet)
{
    const uint8_t *ip = packet->data;
    uint8_t protocol;
    size_t header;
    uint16_t pair[2];

    if (packet->size_bytes < 20)
        return (struct ports){0, 0};
    if (ip[0] >> 4 == 4) {
        protocol = ip[9];
        header = (size_t)(ip[0] & 15) * 4;
        if ((ip[6] & 0x1f) || ip[7]) /* fragment offset */
            return (struct ports){0, 0};
    } else {
        protocol = ip[6];
        header = 40;
    }
    if ((protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) || packet->size_bytes < header + sizeof pair)
        return (struct ports){0, 0};
    memcpy(pair, ip + header, sizeof pair);
    return (struct ports){ntohs(pair[0]), ntohs(pair[1])};
}

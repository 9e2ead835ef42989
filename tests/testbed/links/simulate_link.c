/* As simulate.c, through the link that the kernel's module uses: settings packed and unpacked, records taken from its ring. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel/link.h"
#include "kernel/settings.h"
#include "log.h"
#include "spec.h"

static struct spec spec;
static struct counters counters;

void *host_memory(unsigned long bytes)
{
    return calloc(1, bytes);
}

void host_free(void *memory)
{
    free(memory);
}

static void run_until(struct link *link, int64_t until_ns)
{
    int64_t next_ns;
    while ((next_ns = link_next_ns(link)) <= until_ns && next_ns != NEVER)
        for (unsigned id = 0; id < 2; id++) {
            struct packet *packet;
            unsigned bytes;
            while ((packet = link_due(link, id, next_ns, &bytes)))
                link_delivered(link, id, packet, next_ns);
        }
}

static void print_records(struct link *link)
{
    const void *at;
    unsigned long bytes;
    while ((bytes = link_records(link, &at))) {
        const struct record *records = at;
        for (unsigned long i = 0; i < bytes / sizeof *records; i++) {
            const struct record *r = &records[i];
            printf("%u %u %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %u %u %d %u\n", r->direction, r->verdict,
                   r->enqueue_ns, r->dequeue_ns, r->deliver_ns, r->due_ns, r->size_bytes, r->queue_bytes,
                   (r->ecn & ECN_MARKED) != 0, r->source_port);
        }
        link_take_records(link, bytes);
    }
}

int main(int argc, char **argv)
{
    unsigned id, bytes, ecn, port;
    int64_t at_ns;

    if (argc != 4)
        return 2;
    spec_read(&spec, argv[1]);
    size_t size = settings_bytes(spec.direction);
    struct settings *settings = malloc(size);
    settings_pack(settings, spec.direction);
    if (link_new(settings, size - 1, &counters))
        return 3;
    struct link *link = link_new(settings, size, &counters);
    link_prepare();
    link_start(link, atoll(argv[2]));
    while (scanf("%u %" SCNd64 " %u %u %u", &id, &at_ns, &bytes, &ecn, &port) == 5) {
        run_until(link, at_ns);
        struct packet *packet = link_room(link, bytes);
        unsigned char *data = link_data(packet);
        data[0] = 0x45;
        data[1] = (uint8_t)ecn;
        data[9] = 17;
        data[20] = (uint8_t)(port >> 8);
        data[21] = (uint8_t)port;
        link_arrive(link, id, packet, at_ns);
        print_records(link);
    }
    run_until(link, atoll(argv[3]));
    link_end(link);
    print_records(link);
    link_free(link);
    return 0;
}

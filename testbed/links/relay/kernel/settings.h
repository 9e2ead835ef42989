/* The settings of both directions as one piece of memory, which is how they get from the program into the kernel: the two
 * structs, then what their pointers point to. Both sides are compiled from the same headers for the same processor. */
#pragma once

#include <string.h>

#include "../direction.h"

struct settings {
    struct direction direction[2];
    unsigned char arrays[];
};

struct array {
    void **at;
    size_t bytes;
};

static inline unsigned settings_arrays(struct direction *direction, struct array found[2])
{
    struct playback *playback = &direction->playback;
    unsigned count = 0;
    if (playback->form == STEPS)
        found[count++] = (struct array){(void **)&playback->steps, playback->count * sizeof *playback->steps};
    if (playback->form == OPPORTUNITIES)
        found[count++] = (struct array){(void **)&playback->opportunities, playback->count * sizeof *playback->opportunities};
    if (direction->queue.discipline == FQ_CODEL)
        found[count++] = (struct array){(void **)&direction->queue.fq.flows, direction->queue.fq.count * sizeof(struct fq_flow)};
    return count;
}

/* Bytes of the settings of two directions. */
static inline size_t settings_bytes(struct direction direction[2])
{
    size_t bytes = sizeof(struct settings);
    struct array arrays[2];
    for (unsigned id = 0; id < 2; id++)
        for (unsigned i = settings_arrays(&direction[id], arrays); i-- > 0;)
            bytes += arrays[i].bytes;
    return bytes;
}

/* Copies the directions and their arrays into memory of settings_bytes. */
static inline void settings_pack(struct settings *settings, struct direction direction[2])
{
    unsigned char *at = settings->arrays;
    struct array arrays[2];
    memcpy(settings->direction, direction, sizeof settings->direction);
    for (unsigned id = 0; id < 2; id++) {
        unsigned count = settings_arrays(&direction[id], arrays);
        for (unsigned i = 0; i < count; at += arrays[i++].bytes)
            memcpy(at, *arrays[i].at, arrays[i].bytes);
    }
}

/* Points the directions at their arrays. False if these do not have the size. */
static inline bool settings_unpack(struct settings *settings, size_t bytes)
{
    unsigned char *at = settings->arrays;
    struct array arrays[2];
    if (bytes < sizeof *settings || bytes != settings_bytes(settings->direction))
        return false;
    for (unsigned id = 0; id < 2; id++) {
        unsigned count = settings_arrays(&settings->direction[id], arrays);
        for (unsigned i = 0; i < count; at += arrays[i++].bytes)
            *arrays[i].at = at;
    }
    return true;
}

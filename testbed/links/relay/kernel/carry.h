/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* A link between two interfaces of this kernel. */
#pragma once

#include <linux/hrtimer.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

struct link;
struct net_device;
struct page;
struct relay;

/* An open file of the device. */
struct end {
    struct net_device *device;
    struct relay *relay;
    unsigned number;
};

struct relay {
    struct end *end[2];
    struct link *link;
    void *settings;
    struct page *counters;
    struct hrtimer timer;
    wait_queue_head_t readers;
    bool ended;
};

/* The calls of link.h come one at a time; held with bottom halves off. */
extern spinlock_t one_at_a_time;

/* Makes the interface of this name in the caller's namespace; returns an error number. */
int end_open(struct end *end, const char *name);
void end_close(struct end *end);

/* From now on packets pass. `relay->link` is there. */
void relay_open(struct relay *relay, struct end *first, struct end *second);
/* Sets the traces' time zero. */
void relay_start(struct relay *relay, long long zero_ns);
/* No packet passes any more. */
void relay_end(struct relay *relay);
/* Ends the relay for an end that goes; true if it was the last. */
bool relay_forget(struct relay *relay, struct end *end);

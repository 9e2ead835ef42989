/* What the program asks of the module, /dev/tbtest-relay. The file of the device is one end of a link, as a TUN device's is: it
 * makes an interface, which lives as long as the file is open. Two ends that are connected are a link, which belongs to the
 * first: its records are read there. */
#pragma once

#include <linux/ioctl.h>
#include <linux/types.h>

struct relay_connection {
    __u64 settings, settings_bytes; /* struct settings, see settings.h */
    __u64 counters;                 /* address of a page with a struct counters */
    __s32 other_fd;                 /* the second end */
    __u32 spare;
};

#define RELAY_HERE _IO('t', 0)                                /* succeeds: the file is this device's */
#define RELAY_ATTACH _IOW('t', 1, char[16])                   /* makes the interface of this name in the caller's namespace */
#define RELAY_CONNECT _IOW('t', 2, struct relay_connection)   /* on the first end, as all below */
#define RELAY_START _IOW('t', 3, __s64)                       /* the traces' time zero, by CLOCK_MONOTONIC */
#define RELAY_END _IO('t', 4)                                 /* no packet passes from now on; read gives the last records */

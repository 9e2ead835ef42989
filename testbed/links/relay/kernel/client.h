/* The relay in the kernel, seen from its program: see requests.h. */
#pragma once

#include <signal.h>

#include "../spec.h"

/* Whether this descriptor is an end of a link in the kernel. */
bool client_serves(int fd);
/* Hands the link over to the kernel, which lets packets pass from now on. All of these end the program with a message if the
 * kernel refuses. */
void client_connect(struct spec *spec, int first_fd, int second_fd, struct counters *counters);
void client_start(int first_fd, int64_t zero_ns);
/* Writes out the records that wait. */
void client_log(int first_fd);
/* No packet passes any more; writes out the rest and closes the log. */
void client_end(int first_fd);

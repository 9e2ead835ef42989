/* What to emulate, read from a text file (format: docs/reference/links.md). */
#pragma once

#include "direction.h"

struct spec {
    char *log_path;
    struct direction direction[2];
};

/* Ends the program with "FILE:LINE: what is wrong" if the file is not a valid specification. */
void spec_read(struct spec *spec, const char *path);

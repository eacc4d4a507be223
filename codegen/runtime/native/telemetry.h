/* One JSON line a request, in CloudWatch's embedded metric format. */
#pragma once

#include "serve.h"

enum { MOST_PROFILE_BYTES = 64 << 10 };

/* Writes the line of a request to a file; the first of a process counts as cold. */
void telemetry_print(const struct Trace *trace, struct Text request_id, int file);

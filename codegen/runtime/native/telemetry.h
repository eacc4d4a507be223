/* One JSON line a request on standard output, in CloudWatch's embedded metric format. */
#ifndef SUTURE_TELEMETRY_H
#define SUTURE_TELEMETRY_H

#include "serve.h"

/* Prints the line of a request; the first of a process counts as cold. */
void telemetry_print(const struct Trace *trace, struct Text request_id);

#endif

/* Lambda's Runtime API, version 2018-06-01: events come in, answers go out. */
#ifndef SUTURE_LAMBDA_H
#define SUTURE_LAMBDA_H

/* Serves events from an address, host:port or http://host:port/prefix, until told to stop.
 * Returns the exit status. */
int lambda_run(const char *address);

#endif

/* The ways that requests come. Each serves until told to stop, and returns the exit status. */
#pragma once

/* Lambda's Runtime API at an address, host:port or http://host:port/prefix: events come in,
 * answers go out. */
int lambda_run(const char *address);

/* HTTP on a port, for Cloud Run and local use; a free one is chosen for "0". */
int server_run(const char *port);

/* SIGTERM and SIGINT, which end the process between two requests. */
#pragma once

#include <poll.h>
#include <stdbool.h>

/* From now on they interrupt nothing but stop_poll. */
void stop_prepare(void);
/* Like poll; -1 where one of them comes. */
int stop_poll(struct pollfd *watched, nfds_t count, int timeout_ms);
/* Whether one has come. */
bool stop_asked(void);

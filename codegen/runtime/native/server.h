/* HTTP on a port, for Cloud Run and local use. */
#ifndef SUTURE_SERVER_H
#define SUTURE_SERVER_H

/* Serves until told to stop; a free port is chosen for "0". Returns the exit status. */
int server_run(const char *port);

#endif

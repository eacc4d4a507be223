#define _GNU_SOURCE
#include "stop.h"

#include <signal.h>
#include <time.h>

static volatile sig_atomic_t asked;
static sigset_t open; /* the signals that are blocked while this waits */

static void ask(int signal) {
  (void)signal;
  asked = 1;
}

void stop_prepare(void) {
  struct sigaction action = {.sa_handler = ask};
  sigset_t closed;
  sigemptyset(&closed);
  sigaddset(&closed, SIGTERM);
  sigaddset(&closed, SIGINT);
  sigprocmask(SIG_BLOCK, &closed, &open);
  sigdelset(&open, SIGTERM);
  sigdelset(&open, SIGINT);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  signal(SIGPIPE, SIG_IGN); /* a peer that went away is told by write */
}

int stop_poll(struct pollfd *watched, nfds_t count, int timeout_ms) {
  struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
  return ppoll(watched, count, timeout_ms < 0 ? NULL : &timeout, &open);
}

bool stop_asked(void) {
  sigset_t waiting;
  sigpending(&waiting);
  return asked || sigismember(&waiting, SIGTERM) || sigismember(&waiting, SIGINT);
}

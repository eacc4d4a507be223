/* One thread: connections wait for each other only while a request is computed. */
#define _GNU_SOURCE
#include "transport.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "engine.h"
#include "http.h"
#include "stop.h"
#include "telemetry.h"

enum { MOST_PEERS = 1000, BACKLOG = 512, HEAD_ROOM = 256 };
enum { MOST_HELD_BYTES = 4 * MOST_BODY_BYTES }; /* of requests and replies on their way */
enum { TICK_MS = 1000, IDLE_MS = 620000, STALLED_MS = 30000, LINGER_MS = 2000, GRACE_MS = 8000 };

/* A refused request's connection lingers, what comes being thrown away: closed at once, it
 * could be reset before the answer was read. */
enum Stage { READING, REPLYING, LINGERING };

struct Peer {
  int socket;
  enum Stage stage;
  int64_t since_ms; /* when bytes moved, or lingering began */
  struct Message message;
  bool welcomed; /* told to go on with its body */
  struct Reply reply;
  char head[HEAD_ROOM];
  size_t head_size, written;
  bool bodiless; /* the answer to HEAD */
};

static struct Peer peers[MOST_PEERS];
static int num_peers;
/* Memory of requests and replies, kept for the next one: connections at rest hold none. */
static struct Buffer spare_bytes;
static struct Reply spare_reply;
static struct Trace trace = {.profile.limit = MOST_PROFILE_BYTES,
                             .correct.limit = MOST_PROFILE_BYTES};

static void swap_bytes(struct Peer *peer) {
  struct Buffer bytes = peer->message.bytes;
  peer->message.bytes = spare_bytes;
  spare_bytes = bytes;
}

static void swap_reply(struct Peer *peer) {
  struct Reply reply = peer->reply;
  peer->reply = spare_reply;
  spare_reply = reply;
}

static const char *reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Bad Request";
  }
}

static void answer(struct Peer *peer) {
  struct Message *message = &peer->message;
  char *start = message->bytes.start;
  const struct Request request = {
      .method = {start, message->method},
      .path = {start + message->path_at, message->path},
      .content_type = http_header(message, "content-type"),
      .header_length = http_header(message, "inference-header-content-length"),
      .body = start + message->head,
      .size = message->body,
  };
  serve_request(&request, &peer->reply, &trace);
}

static void reply(struct Peer *peer, int status) {
  struct Message *message = &peer->message;
  struct Reply *reply = &peer->reply;
  char length[64] = "";
  swap_reply(peer);
  if (status == HTTP_COMPLETE) answer(peer);
  else serve_refusal(status, reason(status), reply, &trace);
  if (status != HTTP_COMPLETE || stop_asked()) message->keep_alive = false;
  if (reply->binary.size)
    snprintf(length, sizeof length, "Inference-Header-Content-Length: %zu\r\n", reply->json.size);
  peer->head_size = (size_t)snprintf(
      peer->head, sizeof peer->head,
      "HTTP/1.1 %d %s\r\nContent-Type: application/%s\r\n%s%s%sContent-Length: %zu\r\n\r\n",
      reply->status, reason(reply->status), reply->binary.size ? "octet-stream" : "json", length,
      reply->status == 405 ? "Allow: POST\r\n" : "",
      message->keep_alive ? "" : "Connection: close\r\n", reply->json.size + reply->binary.size);
  peer->bodiless = message->method == 4 && !memcmp(message->bytes.start, "HEAD", 4);
  peer->written = 0;
  peer->stage = REPLYING;
}

/* The reply was written. */
static void settle(struct Peer *peer) {
  swap_reply(peer);
  buffer_free(&peer->reply.json);
  buffer_free(&peer->reply.binary);
  peer->stage = peer->message.keep_alive ? READING : LINGERING;
  peer->welcomed = false;
  http_next(&peer->message);
  if (peer->stage == LINGERING) shutdown(peer->socket, SHUT_WR);
  else if (peer->message.bytes.size) return;
  peer->message.bytes.size = 0; /* whose connection lingers is not read any further */
  swap_bytes(peer);
  buffer_free(&peer->message.bytes);
}

/* False where the peer is gone, here and below. */
static bool write_on(struct Peer *peer) {
  const struct Buffer *json = &peer->reply.json, *binary = &peer->reply.binary;
  const struct Text parts[] = {{peer->head, peer->head_size},
                               {json->start, peer->bodiless ? 0 : json->size},
                               {binary->start, peer->bodiless ? 0 : binary->size}};
  size_t size = parts[0].size + parts[1].size + parts[2].size;
  while (peer->written < size) {
    ssize_t got = http_write(peer->socket, parts, 3, peer->written);
    if (got < 0) return errno == EAGAIN;
    peer->written += (size_t)got;
  }
  settle(peer);
  return true;
}

static bool welcome(struct Peer *peer) {
  static const struct Text word = {"HTTP/1.1 100 Continue\r\n\r\n", 25};
  if (peer->welcomed || !peer->message.waits) return true;
  peer->welcomed = true;
  return http_write(peer->socket, &word, 1, 0) == (ssize_t)word.size;
}

static bool too_much_held(void) {
  size_t held = 0;
  for (int i = 0; i < num_peers; ++i)
    held += peers[i].message.bytes.size + peers[i].reply.json.size + peers[i].reply.binary.size;
  return held > MOST_HELD_BYTES;
}

static bool answer_what_came(struct Peer *peer) {
  while (peer->stage == READING && peer->message.bytes.size) {
    int status = http_parse(&peer->message);
    if (status <= HTTP_MORE && too_much_held()) status = 503;
    if (status == HTTP_MORE) return welcome(peer);
    reply(peer, status);
    struct Text none = {NULL, 0};
    bool there = write_on(peer);
    if (trace.request) telemetry_print(&trace, none, STDOUT_FILENO);
    if (!there) return false;
  }
  return true;
}

static bool read_on(struct Peer *peer) {
  if (!peer->message.bytes.start) swap_bytes(peer);
  ssize_t got = http_read(peer->socket, &peer->message);
  return got > 0 ? answer_what_came(peer) : got < 0 && errno == EAGAIN;
}

static bool linger(const struct Peer *peer) {
  char thrown_away[16 << 10];
  ssize_t got = read(peer->socket, thrown_away, sizeof thrown_away);
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

static bool is_idle(const struct Peer *peer) {
  return peer->stage == READING && !peer->message.bytes.size;
}

static bool serve_peer(struct Peer *peer, int events, int64_t now) {
  const int64_t patience = peer->stage == LINGERING ? LINGER_MS
                           : is_idle(peer)          ? IDLE_MS
                                                    : STALLED_MS;
  if (!events) return now - peer->since_ms < patience;
  if (peer->stage == LINGERING) return linger(peer) && now - peer->since_ms < patience;
  peer->since_ms = now;
  return peer->stage == READING ? read_on(peer) : write_on(peer) && answer_what_came(peer);
}

static void forget(int i) {
  close(peers[i].socket);
  buffer_free(&peers[i].message.bytes);
  buffer_free(&peers[i].reply.json);
  buffer_free(&peers[i].reply.binary);
  peers[i] = peers[--num_peers];
}

/* Makes room for another connection. */
static void forget_idlest(void) {
  int idlest = -1;
  for (int i = 0; i < num_peers; ++i)
    if (is_idle(&peers[i]) && (idlest < 0 || peers[i].since_ms < peers[idlest].since_ms))
      idlest = i;
  if (idlest >= 0) forget(idlest);
}

static void welcome_peers(int listening, int64_t now) {
  const int yes = 1;
  while (num_peers < MOST_PEERS) {
    int socket = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket < 0) break;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    peers[num_peers++] = (struct Peer){.socket = socket, .since_ms = now};
  }
  if (errno == EMFILE || errno == ENFILE) forget_idlest();
}

static int listen_at(const struct sockaddr *address, socklen_t size) {
  const int yes = 1, no = 0;
  int listening = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listening < 0) return -1;
  setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (address->sa_family == AF_INET6)
    setsockopt(listening, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  if (!bind(listening, address, size) && !listen(listening, BACKLOG)) return listening;
  int why = errno;
  close(listening);
  errno = why;
  return -1;
}

/* On every address, of IPv6 and IPv4 where the system has both. */
static int listen_on(const char *port) {
  char *end;
  long number = strtol(port, &end, 10);
  errno = EINVAL;
  if (end == port || *end || number < 0 || number > 65535) return -1;
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)number)};
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number)};
  int listening = listen_at((struct sockaddr *)&six, sizeof six);
  if (listening < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
    listening = listen_at((struct sockaddr *)&four, sizeof four);
  socklen_t size = sizeof six;
  if (listening >= 0 && !getsockname(listening, (struct sockaddr *)&six, &size))
    fprintf(stderr, "suture: %s is served on port %d\n", served.name, ntohs(six.sin6_port));
  return listening;
}

static void serve_once(int listening) {
  static struct pollfd watched[MOST_PEERS + 1];
  if (num_peers == MOST_PEERS) forget_idlest();
  watched[MOST_PEERS] = (struct pollfd){num_peers < MOST_PEERS ? listening : -1, POLLIN, 0};
  struct pollfd *first = &watched[MOST_PEERS - num_peers];
  for (int i = 0; i < num_peers; ++i)
    first[i] = (struct pollfd){peers[i].socket, peers[i].stage == REPLYING ? POLLOUT : POLLIN, 0};
  stop_poll(first, (nfds_t)num_peers + 1, num_peers ? TICK_MS : -1);
  int64_t now = now_ms();
  for (int i = num_peers; i-- > 0;)
    if (!serve_peer(&peers[i], first[i].revents, now)) forget(i);
  if (watched[MOST_PEERS].revents) welcome_peers(listening, now);
}

int server_run(const char *port) {
  if (engine_start()) {
    fprintf(stderr, "suture: the model cannot start: %s\n", engine_error());
    return EXIT_FAILURE;
  }
  stop_prepare();
  int listening = listen_on(port);
  if (listening < 0) {
    fprintf(stderr, "suture: port %.20s cannot be served: %s\n", port, strerror(errno));
    return EXIT_FAILURE;
  }
  while (!stop_asked()) serve_once(listening);
  close(listening);
  for (int64_t end = now_ms() + GRACE_MS; num_peers && now_ms() < end;) {
    for (int i = num_peers; i-- > 0;)
      if (is_idle(&peers[i])) forget(i);
    if (num_peers) serve_once(-1);
  }
  return EXIT_SUCCESS;
}

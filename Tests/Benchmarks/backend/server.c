// Two instances of a session application in one process: what stands behind the proxies when sessions are measured.
//
//     backend SECRET_FILE PORT PORT
//
// One thread, epoll, HTTP/1.1 with keep-alive and pipelining, bridge contract 1 (DESIGN.md section 5). It does what a
// bridge must do (compare versions, hash the state, sign, list, export, import) and nothing else, so that it takes far
// less time per request than any proxy. The instances share nothing but the thread.
//
//     GET  /healthz   200
//     GET  /new       a session of 1 KiB; sets the cookie `session`
//     GET  /read      reads the session; 403 without one
//     GET  /change    counts in the session; 403 without one
//          ?phase=P   with /read and /change: 500 unless the proxy says that it is in that phase
//     *    elsewhere  200 when the request's body has been read
//
// Not for use with untrusted clients, though strict enough to fail loudly when a proxy sends nonsense.
#define _GNU_SOURCE
#include "backend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int poller;

// MARK: Answers

static char *room(struct connection *connection, size_t count) {
    if (connection->output_length + count > connection->output_capacity) {
        connection->output_capacity = 2 * (connection->output_length + count);
        connection->output = realloc(connection->output, connection->output_capacity);
        if (!connection->output) fail("realloc");
    }
    return connection->output + connection->output_length;
}

void answer(
    struct connection *connection, const char *status, const char *fields, const char *body, size_t length) {
    char *at = room(connection, 256 + strlen(fields) + length);
    int head = sprintf(
        at, "HTTP/1.1 %s\r\nServer: backend\r\n%sContent-Length: %zu\r\n%s\r\n", status, fields, length,
        connection->closes ? "Connection: close\r\n" : "");
    memcpy(at + head, body, length);
    connection->output_length += head + length;
}

void answer_text(struct connection *connection, const char *status, const char *fields, const char *body) {
    answer(connection, status, fields, body, strlen(body));
}

// MARK: HTTP

static bool is_named(struct text name, const char *wanted) {
    return name.length == strlen(wanted) && !strncasecmp(name.at, wanted, name.length);
}

static void refuse(struct connection *connection, const char *status) {
    connection->closes = true;
    answer_text(connection, status, "", "");
}

/// Serves one request. Returns the bytes used; 0 when it has not come whole.
static size_t serve(struct connection *connection, const char *bytes, size_t count) {
    const char *end = memmem(bytes, count, "\r\n\r\n", 4);
    if (!end) {
        if (count == INPUT_BYTES) refuse(connection, "431 Request Header Fields Too Large");
        return 0;
    }
    size_t head = end + 4 - bytes;
    struct request request = {0};
    int64_t body = 0;
    const char *line = bytes, *stop = memmem(line, head, "\r\n", 2);
    const char *first = memchr(line, ' ', stop - line);
    const char *second = first ? memchr(first + 1, ' ', stop - first - 1) : NULL;
    if (!second || !begins((struct text){second + 1, stop - second - 1}, "HTTP/1.")) {
        refuse(connection, "400 Bad Request");
        return head;
    }
    request.method = (struct text){line, first - line};
    request.target = (struct text){first + 1, second - first - 1};
    while (stop < end) {
        line = stop + 2;
        stop = memmem(line, end + 2 - line, "\r\n", 2);
        const char *colon = memchr(line, ':', stop - line);
        if (!colon) {
            refuse(connection, "400 Bad Request");
            return head;
        }
        struct text name = {line, colon - line}, value = {colon + 1, stop - colon - 1};
        while (value.length && value.at[0] == ' ') value = after(value, 1);
        switch (name.at[0] | 0x20) {
        case 'c':
            if (is_named(name, "cookie")) {
                struct text id = attribute(value, "session");
                if (id.at) request.cookie_id = id;
            } else if (is_named(name, "content-length")) {
                body = number(value);
            } else if (is_named(name, "connection")) {
                connection->closes |= value.length == 5 && !strncasecmp(value.at, "close", 5);
            }
            break;
        case 't':
            // No load that is sent here is chunked.
            if (is_named(name, "transfer-encoding")) body = -1;
            break;
        case 'u':
            if (is_named(name, "unstick-session")) request.session = value;
            if (is_named(name, "unstick-state")) request.state = value;
            if (is_named(name, "unstick-auth")) request.auth = value;
            break;
        }
    }
    if (body < 0) {
        refuse(connection, "400 Bad Request");
        return head;
    }
    if (begins(request.target, ENDPOINTS)) {
        if (body > INPUT_BYTES - (int64_t)head) {
            refuse(connection, "413 Content Too Large");
            return head;
        }
        if (count - head < (size_t)body) return 0;
        request.body = (struct text){bytes + head, body};
        serve_endpoint(connection, &request);
        return head + body;
    }
    connection->skip = body;
    serve_application(connection, &request);
    return head;
}

static void serve_input(struct connection *connection) {
    size_t at = 0;
    while (at < connection->input_length && !(connection->closes && !connection->skip && connection->output_length)) {
        size_t left = connection->input_length - at;
        if (connection->skip) {
            size_t skipped = left < connection->skip ? left : connection->skip;
            connection->skip -= skipped;
            at += skipped;
            continue;
        }
        size_t used = serve(connection, connection->input + at, left);
        if (!used) break;
        at += used;
    }
    memmove(connection->input, connection->input + at, connection->input_length - at);
    connection->input_length -= at;
}

static void end(struct connection *connection) {
    close(connection->fd);
    free(connection->output);
    free(connection);
}

/// False: the connection is gone.
static bool write_output(struct connection *connection) {
    // An answer is given when the request has been read; the ones before it wait too, which nobody notices.
    if (connection->skip) return true;
    while (connection->output_sent < connection->output_length) {
        ssize_t count = send(
            connection->fd, connection->output + connection->output_sent,
            connection->output_length - connection->output_sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN) {
            if (!connection->waits_for_room) {
                struct epoll_event event = {EPOLLIN | EPOLLOUT, {connection}};
                epoll_ctl(poller, EPOLL_CTL_MOD, connection->fd, &event);
                connection->waits_for_room = true;
            }
            return true;
        }
        if (count < 0) return end(connection), false;
        connection->output_sent += count;
    }
    if (connection->waits_for_room) {
        struct epoll_event event = {EPOLLIN, {connection}};
        epoll_ctl(poller, EPOLL_CTL_MOD, connection->fd, &event);
        connection->waits_for_room = false;
    }
    bool answered = connection->output_length > 0;
    connection->output_length = connection->output_sent = 0;
    if (connection->closes && answered) return end(connection), false;
    return true;
}

static void ready(struct connection *connection, uint32_t events) {
    if (events & EPOLLOUT && !write_output(connection)) return;
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    ssize_t count = recv(
        connection->fd, connection->input + connection->input_length, INPUT_BYTES - connection->input_length, 0);
    if (count == 0 || (count < 0 && errno != EAGAIN)) return end(connection);
    if (count < 0) return;
    connection->input_length += count;
    serve_input(connection);
    write_output(connection);
}

static void accept_all(struct connection *listener) {
    int one = 1, fd;
    while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *connection = calloc(1, sizeof *connection);
        if (!connection) fail("calloc");
        connection->fd = fd;
        connection->instance = listener->instance;
        struct epoll_event event = {EPOLLIN, {connection}};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
    }
}

static void listen_on(const char *port) {
    struct connection *listener = calloc(1, sizeof *listener);
    if (!listener) fail("calloc");
    listener->listens = true;
    listener->instance = start_instance();
    listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener->fd, (struct sockaddr *)&address, sizeof address)) fail("bind");
    if (listen(listener->fd, 4096)) fail("listen");
    struct epoll_event event = {EPOLLIN, {listener}};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, listener->fd, &event)) fail("epoll_ctl");
}

int main(int count, char **arguments) {
    if (count != 4) return fprintf(stderr, "usage: backend SECRET_FILE PORT PORT\n"), 2;
    if (!start_contract(arguments[1])) return fprintf(stderr, "backend: the secret is shorter than 32 bytes\n"), 2;
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) fail("epoll_create1");
    now = time(NULL);
    listen_on(arguments[2]);
    listen_on(arguments[3]);
    while (true) {
        struct epoll_event events[256];
        int found = epoll_wait(poller, events, 256, -1);
        if (found < 0 && errno != EINTR) fail("epoll_wait");
        now = time(NULL);
        for (int i = 0; i < found; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection->listens)
                accept_all(connection);
            else
                ready(connection, events[i].events);
        }
    }
}

// What the parts of the session application share. server.c says what it is.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <time.h>

enum {
    STATE_BYTES = 1024,        // of a new session
    STATE_BYTES_MAX = 3072,    // base64 of it still goes into a header of 4 KiB
    ID_BYTES_MAX = 64,
    SESSIONS_MAX = 65536,      // of an instance
    SLOTS = 2 * SESSIONS_MAX,  // of its hash table
    INPUT_BYTES = 64 * 1024,   // largest head, and largest body of an endpoint call
    PAGE_DEFAULT = 100,
    PAGE_MAX = 1000,
    TTL_SECONDS = 1800,
    SKEW_SECONDS_MAX = 60,
    COUNT_DIGITS = 12,
};

/// A state is `{"count":"000000000000","data":"x…"}`.
#define COUNT_PREFIX "{\"count\":\""
#define ENDPOINTS "/.well-known/unstick/v1/"

struct text {
    const char *at;  // null: not there
    size_t length;
};

struct version {
    uint64_t number;  // 0: none
    char tag[9];
};

struct session {
    char id[ID_BYTES_MAX + 1];
    bool here;
    bool changed;              // since `version` was counted: in `sticky` nobody counts
    struct version version;
    struct version announced;  // what the proxy was told last
    time_t accessed;
    size_t length;
    char state[STATE_BYTES_MAX];
};

struct instance {
    char incarnation[17];
    struct session *sessions;  // in the order of their creation; never moved, so an index is a listing's cursor
    size_t count;
    uint32_t slots[SLOTS];     // index + 1
};

struct connection {
    int fd;
    bool listens;
    bool closes;  // when the output is written
    bool waits_for_room;
    struct instance *instance;
    size_t skip;  // bytes of a body still to come; the answer waits for them
    size_t input_length;
    char *output;
    size_t output_length, output_capacity, output_sent;
    char input[INPUT_BYTES];
};

struct request {
    struct text method, target, cookie_id, session, state, auth, body;
};

// contract.c

/// Unix seconds, as of the last events.
extern time_t now;

void fail(const char *what);
/// Reads the secret; false when it is shorter than 32 bytes.
bool start_contract(const char *secret_path);
struct text text(const char *string);
bool equals(struct text a, const char *b);
bool begins(struct text a, const char *b);
/// Without its first bytes.
struct text after(struct text a, size_t count);
/// A number of up to 18 digits; -1 when it is none.
int64_t number(struct text digits);
void sha256(const void *bytes, size_t length, unsigned char digest[32]);
void hex(const unsigned char *bytes, size_t count, char *out);
/// Returns the length; `out` ends with a zero byte.
size_t base64url(const unsigned char *bytes, size_t count, char *out);
/// Bytes of a base64url text; -1 when it is none, or longer than `limit`.
ssize_t from_base64url(struct text from, char *out, size_t limit);
bool is_signature(struct text given, const char *message, size_t length);
bool is_recent(int64_t seconds);
/// The value of `name=value`, or an empty text for a bare `name`, among attributes separated by ';'.
struct text attribute(struct text header, const char *name);
/// VERSION-TAG; number 0 when it is none.
struct version parse_version(struct text from);
bool same(struct version a, struct version b);

// sessions.c

struct instance *start_instance(void);
/// The session as it is, without counting its version; null when memory does not hold it.
struct session *find(struct instance *instance, struct text id);
/// The session with its version counted; null when memory does not hold it.
struct session *look(struct instance *instance, struct text id);
/// Null when the instance is full.
struct session *create(struct instance *instance);
/// Adds one to the count, in place: the state keeps its length.
void count_up(struct session *session);
/// Takes a state that the store holds; false when its signature or tag is wrong.
bool hydrate(
    struct instance *instance, struct text id, struct text header, const char *state, size_t length, bool exact);

// application.c

void serve_endpoint(struct connection *connection, struct request *request);
void serve_application(struct connection *connection, struct request *request);

// server.c

/// `fields` are whole lines.
void answer(struct connection *connection, const char *status, const char *fields, const char *body, size_t length);
void answer_text(struct connection *connection, const char *status, const char *fields, const char *body);

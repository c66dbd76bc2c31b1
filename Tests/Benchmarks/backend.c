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
//     *    elsewhere  200 when the request's body has been read
//
// Not for use with untrusted clients, though strict enough to fail loudly when a proxy sends nonsense.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

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
};

static const char ENDPOINTS[] = "/.well-known/unstick/v1/";
static const char COUNT_PREFIX[] = "{\"count\":\"";
enum { COUNT_DIGITS = 12 };

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
    bool closes;        // when the output is written
    bool waits_for_room;
    struct instance *instance;
    size_t skip;        // bytes of a body still to come; the answer waits for them
    size_t input_length;
    char *output;
    size_t output_length, output_capacity, output_sent;
    char input[INPUT_BYTES];
};

struct request {
    struct text method, target, cookie_id, session, state, auth, body;
    bool close;
};

enum phase { PHASE_NONE, STICKY, MIRRORING, EXTERNALIZED, EXACT };

static unsigned char secret[4096];
static int secret_length;
static time_t now;
static int poller;
static EVP_MD *sha256_type;
static EVP_MD_CTX *sha256_context;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

// MARK: Texts, digests, encodings

static struct text text(const char *string) { return (struct text){string, strlen(string)}; }

static bool equals(struct text a, const char *b) { return a.length == strlen(b) && !memcmp(a.at, b, a.length); }

static bool begins(struct text a, const char *b) { return a.length >= strlen(b) && !memcmp(a.at, b, strlen(b)); }

static struct text after(struct text a, size_t count) { return (struct text){a.at + count, a.length - count}; }

/// A number of up to 18 digits; -1 when it is none.
static int64_t number(struct text digits) {
    int64_t value = 0;
    if (!digits.at || !digits.length || digits.length > 18) return -1;
    for (size_t i = 0; i < digits.length; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9') return -1;
        value = value * 10 + (digits.at[i] - '0');
    }
    return value;
}

static void sha256(const void *bytes, size_t length, unsigned char digest[32]) {
    // One context for all: looking the algorithm up takes longer than hashing 1 KiB.
    EVP_DigestInit_ex2(sha256_context, sha256_type, NULL);
    EVP_DigestUpdate(sha256_context, bytes, length);
    EVP_DigestFinal_ex(sha256_context, digest, NULL);
}

static void hex(const unsigned char *bytes, size_t count, char *out) {
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    out[2 * count] = 0;
}

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t base64url(const unsigned char *bytes, size_t count, char *out) {
    size_t length = 0;
    for (size_t i = 0; i < count; i += 3) {
        uint32_t group = bytes[i] << 16 | (i + 1 < count ? bytes[i + 1] << 8 : 0) | (i + 2 < count ? bytes[i + 2] : 0);
        size_t digits = count - i < 3 ? count - i + 1 : 4;
        for (size_t digit = 0; digit < digits; digit++) out[length++] = ALPHABET[group >> (18 - 6 * digit) & 63];
    }
    out[length] = 0;
    return length;
}

/// Bytes of a base64url text; -1 when it is none, or longer than `limit`.
static ssize_t from_base64url(struct text from, char *out, size_t limit) {
    static int8_t values[256];
    if (!values['B']) {
        memset(values, -1, sizeof values);
        for (int i = 0; i < 64; i++) values[(unsigned char)ALPHABET[i]] = i;
    }
    size_t length = 0;
    uint32_t bits = 0;
    int held = 0;
    for (size_t i = 0; i < from.length; i++) {
        int value = values[(unsigned char)from.at[i]];
        if (value < 0) return -1;
        bits = bits << 6 | value;
        if ((held += 6) < 8) continue;
        if (length == limit) return -1;
        out[length++] = bits >> (held -= 8);
    }
    return length;
}

static bool is_signature(struct text given, const char *message, size_t length) {
    unsigned char mac[32];
    char wanted[48];
    HMAC(sha256_type, secret, secret_length, (const unsigned char *)message, length, mac, NULL);
    return given.at && given.length == base64url(mac, 32, wanted) && !CRYPTO_memcmp(given.at, wanted, given.length);
}

static bool is_recent(int64_t seconds) { return seconds >= 0 && llabs(now - seconds) <= SKEW_SECONDS_MAX; }

/// The value of `name=value`, or an empty text for a bare `name`, among attributes separated by ';'.
static struct text attribute(struct text header, const char *name) {
    size_t length = strlen(name);
    const char *at = header.at, *end = header.at + header.length;
    while (at && at < end) {
        const char *stop = memchr(at, ';', end - at);
        if (!stop) stop = end;
        while (at < stop && *at == ' ') at++;
        if ((size_t)(stop - at) >= length && !memcmp(at, name, length)) {
            if (at + length == stop) return (struct text){stop, 0};
            if (at[length] == '=') return (struct text){at + length + 1, stop - at - length - 1};
        }
        at = stop + 1;
    }
    return (struct text){NULL, 0};
}

/// VERSION-TAG; number 0 when it is none.
static struct version parse_version(struct text from) {
    struct version version = {0};
    const char *dash = from.at ? memchr(from.at, '-', from.length) : NULL;
    if (!dash || from.at + from.length - dash != 9) return version;
    int64_t parsed = number((struct text){from.at, dash - from.at});
    if (parsed < 1) return version;
    version.number = parsed;
    memcpy(version.tag, dash + 1, 8);
    return version;
}

static bool same(struct version a, struct version b) { return a.number == b.number && !memcmp(a.tag, b.tag, 8); }

// MARK: Sessions

static uint32_t *slot(struct instance *instance, struct text id) {
    uint64_t hash = 14695981039346656037u;  // FNV-1a
    for (size_t i = 0; i < id.length; i++) hash = (hash ^ (unsigned char)id.at[i]) * 1099511628211u;
    for (size_t at = hash % SLOTS;; at = (at + 1) % SLOTS) {
        uint32_t index = instance->slots[at];
        if (!index || equals(id, instance->sessions[index - 1].id)) return &instance->slots[at];
    }
}

static void take_tag(struct session *session) {
    unsigned char digest[32];
    sha256(session->state, session->length, digest);
    hex(digest, 4, session->version.tag);
}

/// The session with its version counted; null when memory does not hold it.
static struct session *look(struct instance *instance, struct text id) {
    uint32_t index = *slot(instance, id);
    struct session *session = index ? &instance->sessions[index - 1] : NULL;
    if (!session || !session->here) return NULL;
    if (session->changed) {
        session->changed = false;
        session->version.number++;
        take_tag(session);
    }
    return session;
}

/// The session's place, new or left by an evicted one.
static struct session *place(struct instance *instance, struct text id) {
    uint32_t *index = slot(instance, id);
    if (!*index) {
        if (instance->count == SESSIONS_MAX || id.length > ID_BYTES_MAX) return NULL;
        *index = ++instance->count;
        struct session *session = &instance->sessions[*index - 1];
        memcpy(session->id, id.at, id.length);
        session->id[id.length] = 0;
    }
    struct session *session = &instance->sessions[*index - 1];
    session->here = true;
    session->changed = false;
    session->announced = (struct version){0};
    session->accessed = now;
    return session;
}

static struct session *create(struct instance *instance) {
    unsigned char random[16];
    char id[33];
    RAND_bytes(random, 16);
    hex(random, 16, id);
    struct session *session = place(instance, text(id));
    if (!session) return NULL;
    session->length = STATE_BYTES;
    memset(session->state, 'x', STATE_BYTES);
    int length = sprintf(session->state, "%s%0*d\",\"data\":\"", COUNT_PREFIX, COUNT_DIGITS, 0);
    session->state[length] = 'x';
    memcpy(session->state + STATE_BYTES - 2, "\"}", 2);
    session->version = (struct version){0};
    session->changed = true;
    return session;
}

/// Adds one to the count, in place: the state keeps its length.
static void count_up(struct session *session) {
    char *digits = session->state + sizeof COUNT_PREFIX - 1;
    for (int i = COUNT_DIGITS - 1; i >= 0; i--) {
        if (++digits[i] <= '9') return;
        digits[i] = '0';
    }
}

/// Takes a state that the store holds; false when its signature or tag is wrong.
static bool hydrate(
    struct instance *instance, struct text id, struct text header, const char *state, size_t length, bool exact) {
    struct text put = attribute(header, "put"), codec = attribute(header, "codec"), ttl = attribute(header, "ttl");
    struct version version = parse_version(put);
    char message[STATE_BYTES_MAX + 512];
    if (!version.number || !codec.at || number(ttl) < 1 || length > STATE_BYTES_MAX || id.length > ID_BYTES_MAX ||
        codec.length > 32)
        return false;
    int head = sprintf(
        message, "%.*s\n%.*s\n%.*s\n%.*s\n", (int)id.length, id.at, (int)put.length, put.at, (int)codec.length,
        codec.at, (int)ttl.length, ttl.at);
    memcpy(message + head, state, length);
    if (!is_signature(attribute(header, "sig"), message, head + length)) return false;
    struct session *session = look(instance, id);
    if (session && (same(session->version, version) || (!exact && session->version.number >= version.number)))
        return true;
    session = place(instance, id);
    if (!session) return false;
    memcpy(session->state, state, length);
    session->length = length;
    take_tag(session);
    if (memcmp(session->version.tag, version.tag, 8)) {
        session->here = false;
        return false;
    }
    session->version = session->announced = version;
    return true;
}

// MARK: Answers

static char *room(struct connection *connection, size_t count) {
    if (connection->output_length + count > connection->output_capacity) {
        connection->output_capacity = 2 * (connection->output_length + count);
        connection->output = realloc(connection->output, connection->output_capacity);
        if (!connection->output) fail("realloc");
    }
    return connection->output + connection->output_length;
}

/// `fields` are whole lines.
static void answer(
    struct connection *connection, const char *status, const char *fields, const char *body, size_t length) {
    char *at = room(connection, 256 + strlen(fields) + length);
    int head = sprintf(
        at, "HTTP/1.1 %s\r\nServer: backend\r\n%sContent-Length: %zu\r\n%s\r\n", status, fields, length,
        connection->closes ? "Connection: close\r\n" : "");
    memcpy(at + head, body, length);
    connection->output_length += head + length;
}

static void answer_text(struct connection *connection, const char *status, const char *fields, const char *body) {
    answer(connection, status, fields, body, strlen(body));
}

/// Writes `op=put` for the session as it is, with its state when `inlined`; the proxy then knows it.
static void put_fields(struct instance *instance, struct session *session, bool inlined, char *out) {
    out += sprintf(
        out, "Unstick-Session: op=put; id=%s; ver=%lu; tag=%s; ", session->id, session->version.number,
        session->version.tag);
    if (session->announced.number)
        out += sprintf(out, "base=%lu-%s; ", session->announced.number, session->announced.tag);
    out += sprintf(out, "ttl=%d; codec=json; inst=%s\r\n", TTL_SECONDS, instance->incarnation);
    if (inlined) {
        out += sprintf(out, "Unstick-State: ");
        out += base64url((unsigned char *)session->state, session->length, out);
        sprintf(out, "\r\n");
    }
    session->announced = session->version;
}

// MARK: Endpoints

static bool is_endpoint_authentic(struct request *request) {
    struct text seconds = attribute(request->auth, "ts");
    unsigned char digest[32];
    char digits[65], message[4096];
    if (!is_recent(number(seconds)) || request->target.length > 3000) return false;
    sha256(request->body.at, request->body.length, digest);
    hex(digest, 32, digits);
    int length = sprintf(
        message, "%.*s\n%.*s\n%.*s\n%s", (int)request->method.length, request->method.at, (int)request->target.length,
        request->target.at, (int)seconds.length, seconds.at, digits);
    return is_signature(attribute(request->auth, "sig"), message, length);
}

/// A query parameter's value; the ones used here need no decoding.
static struct text parameter(struct text query, const char *name) {
    char attributes[256];
    if (!query.at || query.length >= sizeof attributes) return (struct text){NULL, 0};
    for (size_t i = 0; i < query.length; i++) attributes[i] = query.at[i] == '&' ? ';' : query.at[i];
    struct text found = attribute((struct text){attributes, query.length}, name);
    return found.at ? (struct text){query.at + (found.at - attributes), found.length} : found;
}

static void list(struct connection *connection, struct text query) {
    struct instance *instance = connection->instance;
    int64_t index = number(parameter(query, "cursor")), limit = number(parameter(query, "limit"));
    if (limit < 1) limit = PAGE_DEFAULT;
    if (limit > PAGE_MAX) limit = PAGE_MAX;
    char *page = malloc((limit + 1) * 256);
    if (!page) fail("malloc");
    size_t length = 0;
    for (index = index < 0 ? 0 : index; limit && (size_t)index < instance->count; index++) {
        struct session *session = look(instance, text(instance->sessions[index].id));
        if (!session) continue;
        length += sprintf(
            page + length, "{\"id\":\"%s\",\"ver\":%lu,\"tag\":\"%s\",\"ttl\":%d,\"size\":%zu,\"accessed\":%ld}\n",
            session->id, session->version.number, session->version.tag, TTL_SECONDS, session->length,
            (long)session->accessed);
        limit--;
    }
    if ((size_t)index < instance->count) length += sprintf(page + length, "{\"cursor\":\"%ld\"}\n", (long)index);
    answer(connection, "200 OK", "Content-Type: application/x-ndjson\r\n", page, length);
    free(page);
}

static void serve_endpoint(struct connection *connection, struct request *request) {
    struct instance *instance = connection->instance;
    char fields[STATE_BYTES_MAX * 2 + 512];
    if (!is_endpoint_authentic(request)) return answer_text(connection, "401 Unauthorized", "", "");
    struct text path = after(request->target, sizeof ENDPOINTS - 1), query = {NULL, 0};
    const char *mark = memchr(path.at, '?', path.length);
    if (mark) {
        query = (struct text){mark + 1, path.at + path.length - mark - 1};
        path.length = mark - path.at;
    }
    if (equals(path, "instance")) {
        size_t sessions = 0;
        for (size_t i = 0; i < instance->count; i++) sessions += instance->sessions[i].here;
        char body[256];
        sprintf(
            body, "{\"inst\":\"%s\",\"framework\":\"benchmark\",\"bridge\":\"1\",\"sessions\":%zu}\n",
            instance->incarnation, sessions);
        return answer_text(connection, "200 OK", "Content-Type: application/json\r\n", body);
    }
    if (equals(path, "sessions")) return list(connection, query);
    if (!begins(path, "sessions/")) return answer_text(connection, "404 Not Found", "", "");
    struct text id = after(path, strlen("sessions/"));
    struct session *session;
    if (equals(request->method, "PUT")) {
        struct text phase = attribute(request->session, "phase");
        bool exact = equals(phase, "stateless") || equals(phase, "completed");
        if (!hydrate(instance, id, request->session, request->body.at, request->body.length, exact))
            return answer_text(connection, "401 Unauthorized", "", "");
    } else if (equals(request->method, "DELETE")) {
        if ((session = look(instance, id))) session->here = false;
        sprintf(fields, "Unstick-Session: op=none; inst=%s\r\n", instance->incarnation);
        return answer_text(connection, "200 OK", fields, "");
    }
    int64_t wanted = number(parameter(query, "ver"));
    session = look(instance, id);
    if (!session || (wanted >= 0 && (uint64_t)wanted != session->version.number)) {
        sprintf(fields, "Unstick-Session: op=missing; id=%.*s; inst=%s\r\n",
                (int)(id.length > ID_BYTES_MAX ? 0 : id.length), id.at, instance->incarnation);
        return answer_text(connection, "404 Not Found", fields, "");
    }
    put_fields(instance, session, false, fields);
    bool exports = equals(request->method, "GET");
    answer(connection, "200 OK", fields, session->state, exports ? session->length : 0);
}

// MARK: The application, and the bridge around it

/// The proxy's phase; PHASE_NONE without a valid `auth`: then the bridge is inert.
static enum phase phase_of(struct text header) {
    static char known[96];  // the proxy makes a new one each second
    static size_t known_length;
    static int64_t known_seconds;
    struct text auth = attribute(header, "auth"), phase = attribute(header, "phase");
    if (!auth.at || !phase.at) return PHASE_NONE;
    if (auth.length != known_length || memcmp(auth.at, known, known_length)) {
        const char *dot = memchr(auth.at, '.', auth.length);
        if (!dot || auth.length >= sizeof known) return PHASE_NONE;
        struct text seconds = {auth.at, dot - auth.at};
        char message[64];
        if (number(seconds) < 0) return PHASE_NONE;
        int length = sprintf(message, "unstick-proxy\n%.*s", (int)seconds.length, seconds.at);
        if (!is_signature(after(auth, seconds.length + 1), message, length)) return PHASE_NONE;
        memcpy(known, auth.at, known_length = auth.length);
        known_seconds = number(seconds);
    }
    if (!is_recent(known_seconds)) return PHASE_NONE;
    if (equals(phase, "sticky")) return STICKY;
    if (equals(phase, "mirroring")) return MIRRORING;
    return equals(phase, "externalized") ? EXTERNALIZED : EXACT;
}

/// Compares memory with what the proxy wants, and takes the state that came along. False: the answer is given.
static bool begin(struct connection *connection, struct request *request, enum phase phase) {
    struct instance *instance = connection->instance;
    struct text header = request->session, id = request->cookie_id;
    char state[STATE_BYTES_MAX], fields[512];
    struct session *session = look(instance, id);
    if (attribute(header, "absent").at) {
        if (session && phase >= EXTERNALIZED) session->here = false;
        return true;
    }
    if (attribute(header, "put").at) {
        ssize_t length = from_base64url(request->state, state, sizeof state);
        if (length >= 0 && hydrate(instance, id, header, state, length, phase == EXACT)) return true;
        answer_text(connection, "401 Unauthorized", "", "");
        return false;
    }
    struct version want = parse_version(attribute(header, "want"));
    if (!session) {
        sprintf(fields, "Unstick-Session: op=missing; id=%.*s; inst=%s\r\n", (int)id.length, id.at,
                instance->incarnation);
    } else if (
        phase == MIRRORING || same(session->version, want) ||
        (phase == EXTERNALIZED && (!want.number || session->version.number > want.number))) {
        return true;
    } else {
        sprintf(fields, "Unstick-Session: op=stale; id=%s; have=%lu-%s; inst=%s\r\n", session->id,
                session->version.number, session->version.tag, instance->incarnation);
    }
    answer_text(connection, "409 Conflict", fields, "");
    return false;
}

static void serve_application(struct connection *connection, struct request *request) {
    struct instance *instance = connection->instance;
    bool creates = equals(request->target, "/new"), changes = equals(request->target, "/change");
    if (!creates && !changes && !equals(request->target, "/read"))
        return answer_text(connection, "200 OK", "Content-Type: text/plain\r\n", "ok\n");
    enum phase phase = phase_of(request->session);
    bool has_id = request->cookie_id.length > 0 && request->cookie_id.length <= ID_BYTES_MAX;
    if (phase >= MIRRORING && has_id && !begin(connection, request, phase)) return;

    char fields[STATE_BYTES_MAX * 2 + 1024], body[64];
    int length = sprintf(fields, "Content-Type: text/plain\r\n");
    struct session *session;
    if (creates) {
        session = create(instance);
        if (!session) return answer_text(connection, "507 Insufficient Storage", "", "");
        length += sprintf(fields + length, "Set-Cookie: session=%s; Path=/; HttpOnly\r\n", session->id);
        if (phase >= MIRRORING) look(instance, text(session->id));
    } else {
        uint32_t index = has_id ? *slot(instance, request->cookie_id) : 0;
        session = index && instance->sessions[index - 1].here ? &instance->sessions[index - 1] : NULL;
    }
    if (!session) {
        if (phase >= MIRRORING) sprintf(fields + length, "Unstick-Session: op=none; inst=%s\r\n", instance->incarnation);
        return answer_text(connection, "403 Forbidden", fields, "no session\n");
    }
    session->accessed = now;
    if (changes) {
        count_up(session);
        session->changed = true;
    }
    if (phase >= MIRRORING) {
        look(instance, text(session->id));
        if (!same(session->version, session->announced))
            put_fields(instance, session, true, fields + length);
        else
            sprintf(fields + length, "Unstick-Session: op=touch; id=%s; ver=%lu; tag=%s; ttl=%d; inst=%s\r\n",
                    session->id, session->version.number, session->version.tag, TTL_SECONDS, instance->incarnation);
    }
    sprintf(body, "count %.*s\n", COUNT_DIGITS, session->state + sizeof COUNT_PREFIX - 1);
    answer_text(connection, "200 OK", fields, body);
}

// MARK: HTTP

static struct text cookie_value(struct text header, const char *name) { return attribute(header, name); }

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
                struct text id = cookie_value(value, "session");
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
    struct instance *instance = calloc(1, sizeof *instance);
    struct connection *listener = calloc(1, sizeof *listener);
    if (!instance || !listener) fail("calloc");
    instance->sessions = calloc(SESSIONS_MAX, sizeof *instance->sessions);  // untouched pages take no memory
    if (!instance->sessions) fail("calloc");
    unsigned char random[8];
    RAND_bytes(random, 8);
    hex(random, 8, instance->incarnation);
    listener->listens = true;
    listener->instance = instance;
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
    FILE *file = fopen(arguments[1], "r");
    if (!file) fail(arguments[1]);
    secret_length = fread(secret, 1, sizeof secret, file);
    fclose(file);
    while (secret_length && (secret[secret_length - 1] == '\n' || secret[secret_length - 1] == '\r')) secret_length--;
    if (secret_length < 32) return fprintf(stderr, "backend: the secret is shorter than 32 bytes\n"), 2;
    sha256_type = EVP_MD_fetch(NULL, "SHA256", NULL);
    sha256_context = EVP_MD_CTX_new();
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!sha256_type || !sha256_context || poller < 0) fail("start");
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

// The application, and the bridge around it: what a request does to a session and what the proxy is told.
#include "backend.h"

#include <stdlib.h>
#include <string.h>

/// EXACT: memory must have the store's version and tag, as in `stateless` and `completed`.
enum phase { PHASE_NONE, STICKY, MIRRORING, EXTERNALIZED, EXACT };

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

/// Takes the query off a target; not there when it has none.
static struct text split_query(struct text *target) {
    const char *mark = memchr(target->at, '?', target->length);
    if (!mark) return (struct text){NULL, 0};
    struct text query = {mark + 1, target->at + target->length - mark - 1};
    target->length = mark - target->at;
    return query;
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

void serve_endpoint(struct connection *connection, struct request *request) {
    struct instance *instance = connection->instance;
    char fields[STATE_BYTES_MAX * 2 + 512];
    if (!is_endpoint_authentic(request)) return answer_text(connection, "401 Unauthorized", "", "");
    struct text path = after(request->target, sizeof ENDPOINTS - 1), query = split_query(&path);
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

// MARK: The application

static enum phase phase_named(struct text name) {
    if (equals(name, "sticky")) return STICKY;
    if (equals(name, "mirroring")) return MIRRORING;
    return equals(name, "externalized") ? EXTERNALIZED : EXACT;
}

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
    return phase_named(phase);
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

void serve_application(struct connection *connection, struct request *request) {
    struct instance *instance = connection->instance;
    struct text path = request->target, query = split_query(&path);
    bool creates = equals(path, "/new"), changes = equals(path, "/change");
    if (!creates && !changes && !equals(path, "/read"))
        return answer_text(connection, "200 OK", "Content-Type: text/plain\r\n", "ok\n");
    enum phase phase = phase_of(request->session);
    struct text expected = parameter(query, "phase");
    if (expected.at && phase_named(expected) != (phase == PHASE_NONE ? STICKY : phase))
        return answer_text(connection, "500 Internal Server Error", "", "the proxy is in another phase\n");
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
        session = has_id ? find(instance, request->cookie_id) : NULL;
    }
    if (!session) {
        if (phase >= MIRRORING)
            sprintf(fields + length, "Unstick-Session: op=none; inst=%s\r\n", instance->incarnation);
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

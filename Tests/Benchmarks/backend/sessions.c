// An instance's memory of sessions, with the versions that a bridge counts.
#include "backend.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

struct instance *start_instance(void) {
    unsigned char random[8];
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance) fail("calloc");
    instance->sessions = calloc(SESSIONS_MAX, sizeof *instance->sessions);  // untouched pages take no memory
    if (!instance->sessions) fail("calloc");
    RAND_bytes(random, 8);
    hex(random, 8, instance->incarnation);
    return instance;
}

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

struct session *find(struct instance *instance, struct text id) {
    uint32_t index = *slot(instance, id);
    struct session *session = index ? &instance->sessions[index - 1] : NULL;
    return session && session->here ? session : NULL;
}

struct session *look(struct instance *instance, struct text id) {
    struct session *session = find(instance, id);
    if (session && session->changed) {
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

struct session *create(struct instance *instance) {
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

void count_up(struct session *session) {
    char *digits = session->state + sizeof COUNT_PREFIX - 1;
    for (int i = COUNT_DIGITS - 1; i >= 0; i--) {
        if (++digits[i] <= '9') return;
        digits[i] = '0';
    }
}

bool hydrate(
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

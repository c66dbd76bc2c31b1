// The words of bridge contract 1: texts, attributes, digests, signatures. No sessions, no sockets.
#include "backend.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

time_t now;

static unsigned char secret[4096];
static int secret_length;
static EVP_MD *sha256_type;
static EVP_MD_CTX *sha256_context;

bool start_contract(const char *secret_path) {
    FILE *file = fopen(secret_path, "r");
    if (!file) fail(secret_path);
    secret_length = fread(secret, 1, sizeof secret, file);
    fclose(file);
    while (secret_length && (secret[secret_length - 1] == '\n' || secret[secret_length - 1] == '\r')) secret_length--;
    sha256_type = EVP_MD_fetch(NULL, "SHA256", NULL);
    sha256_context = EVP_MD_CTX_new();
    return secret_length >= 32 && sha256_type && sha256_context;
}

void fail(const char *what) {
    perror(what);
    exit(1);
}

struct text text(const char *string) { return (struct text){string, strlen(string)}; }

bool equals(struct text a, const char *b) { return a.length == strlen(b) && !memcmp(a.at, b, a.length); }

bool begins(struct text a, const char *b) { return a.length >= strlen(b) && !memcmp(a.at, b, strlen(b)); }

struct text after(struct text a, size_t count) { return (struct text){a.at + count, a.length - count}; }

int64_t number(struct text digits) {
    int64_t value = 0;
    if (!digits.at || !digits.length || digits.length > 18) return -1;
    for (size_t i = 0; i < digits.length; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9') return -1;
        value = value * 10 + (digits.at[i] - '0');
    }
    return value;
}

void sha256(const void *bytes, size_t length, unsigned char digest[32]) {
    // One context for all: looking the algorithm up takes longer than hashing 1 KiB.
    EVP_DigestInit_ex2(sha256_context, sha256_type, NULL);
    EVP_DigestUpdate(sha256_context, bytes, length);
    EVP_DigestFinal_ex(sha256_context, digest, NULL);
}

void hex(const unsigned char *bytes, size_t count, char *out) {
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    out[2 * count] = 0;
}

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t base64url(const unsigned char *bytes, size_t count, char *out) {
    size_t length = 0;
    for (size_t i = 0; i < count; i += 3) {
        uint32_t group = bytes[i] << 16 | (i + 1 < count ? bytes[i + 1] << 8 : 0) | (i + 2 < count ? bytes[i + 2] : 0);
        size_t digits = count - i < 3 ? count - i + 1 : 4;
        for (size_t digit = 0; digit < digits; digit++) out[length++] = ALPHABET[group >> (18 - 6 * digit) & 63];
    }
    out[length] = 0;
    return length;
}

ssize_t from_base64url(struct text from, char *out, size_t limit) {
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

bool is_signature(struct text given, const char *message, size_t length) {
    unsigned char mac[32];
    char wanted[48];
    HMAC(sha256_type, secret, secret_length, (const unsigned char *)message, length, mac, NULL);
    return given.at && given.length == base64url(mac, 32, wanted) && !CRYPTO_memcmp(given.at, wanted, given.length);
}

bool is_recent(int64_t seconds) { return seconds >= 0 && llabs(now - seconds) <= SKEW_SECONDS_MAX; }

struct text attribute(struct text header, const char *name) {
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

struct version parse_version(struct text from) {
    struct version version = {0};
    const char *dash = from.at ? memchr(from.at, '-', from.length) : NULL;
    if (!dash || from.at + from.length - dash != 9) return version;
    int64_t parsed = number((struct text){from.at, dash - from.at});
    if (parsed < 1) return version;
    version.number = parsed;
    memcpy(version.tag, dash + 1, 8);
    return version;
}

bool same(struct version a, struct version b) { return a.number == b.number && !memcmp(a.tag, b.tag, 8); }

/* Bytes of test vectors: hex text as the specifications print it, without the offset column. */
#ifndef TESTS_LIB_HEX_H
#define TESTS_LIB_HEX_H

#include <criterion/criterion.h>

#include <ctype.h>
#include <stdint.h>
#include <string.h>

static inline int hex_digit(char c) {
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Returns the number of bytes. */
static inline int32_t hex_decode(const char *hex, uint8_t *bytes, int32_t size) {
    int32_t length = 0;
    for (const char *p = hex; *p != '\0';) {
        if (isspace((unsigned char)*p)) {
            p++;
            continue;
        }
        cr_assert(length < size && isxdigit((unsigned char)p[0]) && isxdigit((unsigned char)p[1]));
        bytes[length++] = (uint8_t)(hex_digit(p[0]) << 4 | hex_digit(p[1]));
        p += 2;
    }
    return length;
}

/* The bytes at `actual` begin with those of the text; returns how many were compared. */
static inline int32_t assert_hex(const void *actual, const char *hex, const char *what) {
    uint8_t expected[4096];
    int32_t length = hex_decode(hex, expected, sizeof expected);
    for (int32_t i = 0; i < length; i++) {
        cr_assert_eq(((const uint8_t *)actual)[i], expected[i], "%s: byte %d is %02x, not %02x",
                     what, i, ((const uint8_t *)actual)[i], expected[i]);
    }
    return length;
}

#endif

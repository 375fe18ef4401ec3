/* What the generated codecs (archive_codec, cluster_codec) share: the description of a message as
 * a table, and one engine that encodes, decodes and prints by such tables. The generated files hold
 * tables and thin typed functions only, so every length check of the protocol exists once, in
 * sbe.c (rules: archive.md 1.1, cluster.md 1.1).
 *
 * Decoding never reads behind `length`, never believes a length or a count from the message, and
 * writes the result only on success. It accepts every version: a field newer than the sender (by
 * the header's version, or because the block ends before it) gets its absent value, newer data is
 * empty, unknown fields at the end of a block and bytes behind the last field are skipped.
 * -EBADMSG: too short, foreign schema or template, a block that lacks a field of the first version,
 * data or a group that does not fit, a value that its enumeration (null aside) does not have.
 *
 * Nothing allocates, and buffers need no alignment.
 */
#ifndef TERN_WIRE_SBE_H
#define TERN_WIRE_SBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"
#include "wire/slice.h"

#define SBE_HEADER_LENGTH 8
#define SBE_FRAMED_HEADER_LENGTH 16 /* node-state.dat: plus i32 frame length, i32 padding */
#define SBE_GROUP_HEADER_LENGTH 4
#define SBE_GROUP_COUNT_MAX 65534
#define SBE_STRUCT_LENGTH_MAX 320 /* of every generated struct */

#define SBE_NULL_I32 INT32_MIN
#define SBE_NULL_I64 INT64_MIN
#define SBE_NULL_U8 UINT8_MAX
#define SBE_NULL_U32 UINT32_MAX

struct sbe_header {
    uint16_t block_length;
    uint16_t template_id;
    uint16_t schema_id;
    uint16_t version;
};

/* The header of a message, for dispatch. 0 when it and the block it announces are inside `length`,
 * else -EBADMSG. What follows the block begins at SBE_HEADER_LENGTH + header->block_length. */
int sbe_peek(struct sbe_header *header, const void *buffer, int32_t length);
/* The same for a framed message; `frame_length` is checked to hold header and block and to be
 * inside `length`. */
int sbe_peek_framed(struct sbe_header *header, int32_t *frame_length, const void *buffer,
                    int32_t length);

/* A repeating group. To encode: `elements` points at an array of `count` structs. After decoding:
 * `count` elements wait to be fetched with the group's generated _next function, which returns
 * false at the end; the whole group has been checked then, and its data lives in the message. */
struct sbe_group {
    const void *elements;
    int32_t count;
    /* decoding only */
    int32_t index;
    const uint8_t *position;
    int32_t length;
    uint16_t block_length;
    uint16_t version;
};

/* -- tables, for the generated code -- */

enum sbe_type { SBE_I32, SBE_I64, SBE_U8, SBE_U32 };

struct sbe_enum_value {
    const char *name;
    int32_t value;
};

struct sbe_enum {
    const struct sbe_enum_value *values;
    int32_t count;
};

struct sbe_field {
    const char *name;
    uint16_t offset; /* in the block */
    uint16_t member; /* in the C struct */
    uint16_t since;
    uint8_t type;
    int64_t absent;
    const struct sbe_enum *values; /* NULL unless an enumeration */
};

struct sbe_data {
    const char *name;
    uint16_t member;
    uint16_t since;
    bool is_text;
};

/* A block with what follows it: a message, a record, or the element of a group. */
struct sbe_layout {
    const char *name;
    const struct sbe_field *fields;
    const struct sbe_layout *const *groups;
    const struct sbe_data *data;
    int32_t field_count;
    int32_t group_count;
    int32_t data_count;
    uint16_t header_length; /* 0 for a record and an element */
    uint16_t block_length;
    uint16_t template_id;
    uint16_t schema_id;
    uint16_t version;
    uint16_t struct_length;
    uint16_t member; /* of a group: where its struct sbe_group is in the message's struct */
};

int32_t sbe_encode(const struct sbe_layout *layout, const void *message, void *buffer,
                   int32_t capacity);
int sbe_decode(const struct sbe_layout *layout, void *message, const void *buffer, int32_t length);
bool sbe_group_next(const struct sbe_layout *layout, struct sbe_group *group, void *element);

struct sbe_layouts {
    const struct sbe_layout *const *all;
    int32_t count;
};

/* One line without newline, always terminated when capacity > 0 and cut to fit. Returns 0, or
 * -EBADMSG after printing what is wrong with bytes that are none of the messages. */
int sbe_format(const struct sbe_layouts *layouts, const void *buffer, int32_t length, char *text,
               int32_t capacity);
/* "?" when there is none. */
const char *sbe_template_name(const struct sbe_layouts *layouts, int32_t template_id);
const char *sbe_enum_name(const struct sbe_enum *values, int32_t value);

#endif

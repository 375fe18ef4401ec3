/* CRC-32 and CRC-32C of archive frames and catalog records (archive.md 4.5). */
#ifndef TERN_ARCHIVED_CHECKSUM_H
#define TERN_ARCHIVED_CHECKSUM_H

#include <stdbool.h>
#include <stdint.h>

enum checksum_kind { CHECKSUM_NONE, CHECKSUM_CRC32, CHECKSUM_CRC32C };

/* Tables are filled at init, so that nothing static is written; read only afterwards. */
struct checksum {
    enum checksum_kind kind;
    uint32_t table[8][256];
};

void checksum_init(struct checksum *checksum, enum checksum_kind kind);

static inline bool checksum_is_enabled(const struct checksum *checksum) {
    return checksum->kind != CHECKSUM_NONE;
}

/* As stored on disk: the 32 bits as a signed word. 0 when disabled. */
int32_t checksum_compute(const struct checksum *checksum, const void *data, int64_t length);

#endif

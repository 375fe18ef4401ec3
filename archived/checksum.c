/* Reflected CRCs, eight bytes per step ("slicing by 8"). Both polynomials run through the same
 * code; which one is a matter of the tables. Used by the recorder per frame, so it is worth being
 * quick, but plain C keeps it the same on every processor.
 */
#include "archived/checksum.h"

#include "base/bits.h"
#include "base/compiler.h"

#define POLYNOMIAL_CRC32 0xEDB88320u
#define POLYNOMIAL_CRC32C 0x82F63B78u

void checksum_init(struct checksum *checksum, enum checksum_kind kind) {
    checksum->kind = kind;
    uint32_t polynomial = kind == CHECKSUM_CRC32C ? POLYNOMIAL_CRC32C : POLYNOMIAL_CRC32;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++) {
            value = (value >> 1) ^ ((value & 1) != 0 ? polynomial : 0);
        }
        checksum->table[0][i] = value;
    }
    for (int slice = 1; slice < 8; slice++) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t below = checksum->table[slice - 1][i];
            checksum->table[slice][i] = (below >> 8) ^ checksum->table[0][below & 0xFF];
        }
    }
}

int32_t checksum_compute(const struct checksum *checksum, const void *data, int64_t length) {
    assert(length >= 0);
    if (checksum->kind == CHECKSUM_NONE) {
        return 0;
    }
    const uint32_t(*table)[256] = checksum->table;
    const uint8_t *p = data;
    uint32_t crc = 0xFFFFFFFFu;
    for (; length >= 8; length -= 8, p += 8) {
        uint32_t low = (uint32_t)get_i32(p) ^ crc;
        uint32_t high = (uint32_t)get_i32(p + 4);
        crc = table[7][low & 0xFF] ^ table[6][(low >> 8) & 0xFF] ^ table[5][(low >> 16) & 0xFF] ^
              table[4][low >> 24] ^ table[3][high & 0xFF] ^ table[2][(high >> 8) & 0xFF] ^
              table[1][(high >> 16) & 0xFF] ^ table[0][high >> 24];
    }
    for (; length > 0; length--, p++) {
        crc = (crc >> 8) ^ table[0][(crc ^ *p) & 0xFF];
    }
    return (int32_t)(crc ^ 0xFFFFFFFFu);
}

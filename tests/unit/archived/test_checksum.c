#include <criterion/criterion.h>

#include "archived/checksum.h"

Test(checksum, both_algorithms_give_their_check_values_at_any_length_and_alignment) {
    struct checksum crc32;
    struct checksum crc32c;
    struct checksum none;
    checksum_init(&crc32, CHECKSUM_CRC32);
    checksum_init(&crc32c, CHECKSUM_CRC32C);
    checksum_init(&none, CHECKSUM_NONE);
    cr_assert_eq((uint32_t)checksum_compute(&crc32, "123456789", 9), 0xCBF43926u);
    cr_assert_eq((uint32_t)checksum_compute(&crc32c, "123456789", 9), 0xE3069283u);
    cr_assert_eq(checksum_compute(&none, "123456789", 9), 0);
    cr_assert_eq((uint32_t)checksum_compute(&crc32, "", 0), 0u);

    /* archive.md 10.5: 100 bytes of payload and 28 of slack. */
    uint8_t frame[129];
    memset(frame, 0, sizeof frame);
    memset(frame + 1, 0x41, 100);
    cr_assert_eq((uint32_t)checksum_compute(&crc32c, frame + 1, 128), 0x0cf6c3dbu);
}

/* RES frames: reading and writing (media-driver.md 1.12).
 *
 * Each entry is bounded by what is left of the frame, and names have a length above 0: the original
 * compares with the whole datagram and takes negative lengths. The padding behind the last entry
 * may be missing.
 */
#include "wire/resolution.h"

#include <string.h>

#include "base/bits.h"

#define TYPE_V4 1
#define TYPE_V6 2
#define FLAG_SELF 0x80
#define V4_LENGTH 4
#define V6_LENGTH 16
#define ADDRESS_OFFSET 8
#define NAME_LENGTH_LENGTH 2
#define ALIGNMENT 8

/* Bytes before the name. */
static int32_t fixed_length(int32_t address_length) {
    return ADDRESS_OFFSET + address_length + NAME_LENGTH_LENGTH;
}

void resolution_put_header(uint8_t *frame, int32_t length) {
    const struct frame_common common = {.frame_length = length, .type = FRAME_TYPE_RES};
    memcpy(frame, &common, sizeof common);
}

int32_t resolution_put(uint8_t *buffer, int32_t capacity, const struct resolution_entry *entry) {
    bool is_v6 = entry->address.base.sa_family == AF_INET6;
    int32_t address_length = is_v6 ? V6_LENGTH : V4_LENGTH;
    int32_t fixed = fixed_length(address_length);
    assert(entry->name_length > 0);
    assert(entry->name_length <= RESOLUTION_NAME_LENGTH_MAX);
    int32_t length = align_i32(fixed + entry->name_length, ALIGNMENT);
    if (length > capacity) {
        return 0;
    }
    memset(buffer, 0, (size_t)length);
    buffer[0] = is_v6 ? TYPE_V6 : TYPE_V4;
    buffer[1] = entry->is_self ? FLAG_SELF : 0;
    uint16_t port = net_address_port(&entry->address);
    int16_t name_length = (int16_t)entry->name_length;
    memcpy(buffer + 2, &port, sizeof port);
    memcpy(buffer + 4, &entry->age_ms, sizeof entry->age_ms);
    if (is_v6) {
        memcpy(buffer + ADDRESS_OFFSET, &entry->address.v6.sin6_addr, V6_LENGTH);
    } else {
        memcpy(buffer + ADDRESS_OFFSET, &entry->address.v4.sin_addr, V4_LENGTH);
    }
    memcpy(buffer + fixed - NAME_LENGTH_LENGTH, &name_length, sizeof name_length);
    memcpy(buffer + fixed, entry->name, (size_t)name_length);
    return length;
}

/* Length of the entry without its padding; 0: there is none in `rest` bytes. */
static int32_t entry_length(const uint8_t *bytes, int32_t rest) {
    bool is_known = bytes[0] == TYPE_V4 || bytes[0] == TYPE_V6;
    int32_t fixed = fixed_length(bytes[0] == TYPE_V6 ? V6_LENGTH : V4_LENGTH);
    if (!is_known || rest < fixed) {
        return 0;
    }
    int16_t name_length;
    memcpy(&name_length, bytes + fixed - NAME_LENGTH_LENGTH, sizeof name_length);
    return name_length > 0 && name_length <= rest - fixed ? fixed + name_length : 0;
}

static int32_t frame_length(const uint8_t *datagram) {
    struct frame_common common;
    memcpy(&common, datagram, sizeof common);
    return common.frame_length;
}

enum frame_verdict resolution_validate(const uint8_t *datagram, uint32_t length) {
    struct frame_common common;
    if (length < sizeof common) {
        return FRAME_INVALID;
    }
    memcpy(&common, datagram, sizeof common);
    if (common.version != 0 || common.type != FRAME_TYPE_RES ||
        common.frame_length < FRAME_COMMON_LENGTH || (uint32_t)common.frame_length > length) {
        return FRAME_INVALID;
    }
    int32_t offset = FRAME_COMMON_LENGTH;
    while (offset < common.frame_length) {
        int32_t entry = entry_length(datagram + offset, common.frame_length - offset);
        if (entry == 0) {
            return FRAME_INVALID;
        }
        offset += align_i32(entry, ALIGNMENT);
    }
    return FRAME_VALID;
}

bool resolution_next(const uint8_t *datagram, int32_t *offset, struct resolution_entry *entry) {
    const uint8_t *bytes = datagram + *offset;
    int32_t rest = frame_length(datagram) - *offset;
    if (rest <= 0) {
        return false;
    }
    int32_t length = entry_length(bytes, rest);
    assert(length > 0);
    uint16_t port;
    bool is_v6 = bytes[0] == TYPE_V6;
    int32_t fixed = fixed_length(is_v6 ? V6_LENGTH : V4_LENGTH);
    *entry = (struct resolution_entry){
        .is_self = (bytes[1] & FLAG_SELF) != 0,
        .name = (const char *)bytes + fixed,
        .name_length = length - fixed,
    };
    memcpy(&port, bytes + 2, sizeof port);
    memcpy(&entry->age_ms, bytes + 4, sizeof entry->age_ms);
    entry->address.base.sa_family = is_v6 ? AF_INET6 : AF_INET;
    if (is_v6) {
        memcpy(&entry->address.v6.sin6_addr, bytes + ADDRESS_OFFSET, V6_LENGTH);
    } else {
        memcpy(&entry->address.v4.sin_addr, bytes + ADDRESS_OFFSET, V4_LENGTH);
    }
    net_address_set_port(&entry->address, port);
    *offset += align_i32(length, ALIGNMENT);
    return true;
}

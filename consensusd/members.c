/* Parsing the member list (see members.h). Called when the configuration is read; the result lives
 * as long as the consensus module. What is wrong is said in the words of the configuration. */
#include "consensusd/members.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_id(const char *text, int32_t *id) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 0 || value > INT32_MAX) {
        return -EINVAL;
    }
    *id = (int32_t)value;
    return 0;
}

/* Cuts `text` at its commas. */
static int parse_member(struct member *member, char *text, struct tern_error *error) {
    static const char *const names[MEMBER_ENDPOINTS_MAX] = {
        "ingress", "consensus", "log", "catchup", "archive", "archive response", "egress response"};
    char *rest = text;
    char *id = strsep(&rest, ",");
    if (parse_id(id, &member->id) < 0) {
        return error_set(error, -EINVAL, "member id \"%s\" is not a number", id);
    }
    int32_t count = 0;
    for (int32_t i = 0; i < MEMBER_ENDPOINTS_MAX; i++) {
        member->endpoints[i] = "";
    }
    while (rest != NULL) {
        char *endpoint = strsep(&rest, ",");
        if (count < MEMBER_ENDPOINTS_MAX) {
            member->endpoints[count] = endpoint;
        }
        if (count < MEMBER_ENDPOINTS_MIN && strchr(endpoint, ':') == NULL) {
            return error_set(error, -EINVAL, "member %d: the %s endpoint \"%s\" is not host:port",
                             member->id, names[count], endpoint);
        }
        count++;
    }
    if (count < MEMBER_ENDPOINTS_MIN || count > MEMBER_ENDPOINTS_MAX) {
        return error_set(error, -EINVAL,
                         "member %d has %d endpoints, expected %d to %d: id,ingress,consensus,"
                         "log,catchup,archive[,archive response[,egress response]]",
                         member->id, count, MEMBER_ENDPOINTS_MIN, MEMBER_ENDPOINTS_MAX);
    }
    member->endpoint_count = count;
    return 0;
}

static int join_ingress(struct members *members, struct tern_error *error) {
    size_t length = 0;
    for (int32_t i = 0; i < members->count; i++) {
        length +=
            (size_t)snprintf(members->ingress + length, sizeof members->ingress - length, "%s%d=%s",
                             i == 0 ? "" : ",", members->list[i].id, members->list[i].ingress);
        if (length >= sizeof members->ingress) {
            return error_set(error, -ENAMETOOLONG, "the ingress endpoints are too long");
        }
    }
    return 0;
}

int members_parse(struct members *members, const char *text, struct tern_error *error) {
    memset(members, 0, sizeof *members);
    if (strlen(text) >= sizeof members->text) {
        return error_set(error, -ENAMETOOLONG, "the member list is longer than %d bytes",
                         MEMBERS_TEXT_MAX - 1);
    }
    strcpy(members->text, text);
    strcpy(members->slices, text);
    char *rest = members->slices;
    while (rest != NULL) {
        char *item = strsep(&rest, "|");
        if (members->count == MEMBERS_COUNT_MAX) {
            return error_set(error, -EINVAL, "more than %d members", MEMBERS_COUNT_MAX);
        }
        struct member *member = &members->list[members->count];
        int result = parse_member(member, item, error);
        if (result < 0) {
            return result;
        }
        if (members_index(members, member->id) >= 0) {
            return error_set(error, -EINVAL, "member %d is listed twice", member->id);
        }
        members->count++;
    }
    return join_ingress(members, error);
}

int32_t members_index(const struct members *members, int32_t id) {
    for (int32_t i = 0; i < members->count; i++) {
        if (members->list[i].id == id) {
            return i;
        }
    }
    return -1;
}

int members_check_own(const struct member *own, const char *endpoints, struct tern_error *error) {
    char expected[MEMBERS_TEXT_MAX];
    int length = snprintf(expected, sizeof expected, "%s,%s,%s,%s,%s", own->ingress, own->consensus,
                          own->log, own->catchup, own->archive);
    assert(length > 0 && length < (int)sizeof expected);
    if (strcmp(expected, endpoints) != 0) {
        return error_set(error, -EINVAL, "\"%s\" differs from the member list: \"%s\"", endpoints,
                         expected);
    }
    return 0;
}

/* Ingress publications. A member's publication is added when it is first wanted; one that the
 * driver refuses for good (unknown host, say) is remembered with its error and not asked again. */
#include "cluster/ingress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/uri.h"

static void publication_close(struct ingress_publication *publication) {
    tern_async_cancel(publication->request);
    tern_exclusive_publication_close(publication->exclusive);
    tern_publication_close(publication->shared);
    *publication = (struct ingress_publication){0};
}

static void member_close(struct ingress_member *member) {
    publication_close(&member->publication);
    free(member->endpoint);
    *member = (struct ingress_member){0};
}

/* One "id=host:port" of `length` bytes. */
static int parse_member(struct ingress_member *member, const char *text, size_t length) {
    char copy[URI_LENGTH_MAX + 1];
    int64_t id;
    if (length > URI_LENGTH_MAX) {
        return -EINVAL;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    char *equals = strchr(copy, '=');
    if (equals == NULL || equals[1] == '\0') {
        return -EINVAL;
    }
    *equals = '\0';
    if (parse_i64(copy, &id) != 0 || id < INT32_MIN || id > INT32_MAX) {
        return -EINVAL;
    }
    *member = (struct ingress_member){.member_id = (int32_t)id, .endpoint = strdup(equals + 1)};
    return member->endpoint == NULL ? -ENOMEM : 0;
}

static void close_all(struct ingress_member *members, int count) {
    for (int i = 0; i < count; i++) {
        member_close(&members[i]);
    }
}

static int parse_members(struct ingress_member *members, const char *endpoints) {
    int count = 0;
    const char *cursor = endpoints;
    while (true) {
        const char *end = strchrnul(cursor, ',');
        int result = count == INGRESS_MEMBER_COUNT_MAX
                         ? -EINVAL
                         : parse_member(&members[count], cursor, (size_t)(end - cursor));
        if (result != 0) {
            close_all(members, count);
            return result;
        }
        count++;
        if (*end == '\0') {
            return count;
        }
        cursor = end + 1;
    }
}

static bool is_same_endpoint(const struct ingress_member *a, const struct ingress_member *b) {
    if (a->endpoint == NULL || b->endpoint == NULL) {
        return a->endpoint == b->endpoint;
    }
    return strcmp(a->endpoint, b->endpoint) == 0;
}

int ingress_set_members(struct ingress *ingress, const char *endpoints, struct tern_error *error) {
    struct ingress_member *parsed = calloc(INGRESS_MEMBER_COUNT_MAX, sizeof *parsed);
    if (parsed == NULL) {
        return error_set(error, -ENOMEM, "no memory for ingress endpoints");
    }
    int count = 1;
    if (endpoints == NULL) {
        parsed[0].member_id = INGRESS_ANY_MEMBER;
    } else {
        count = parse_members(parsed, endpoints);
    }
    if (count < 0) {
        free(parsed);
        return error_set(error, count, "ingress endpoints '%.140s' are not id=host:port,...",
                         endpoints);
    }
    for (int i = 0; i < count; i++) {
        struct ingress_member *old = ingress_find(ingress, parsed[i].member_id);
        if (old != NULL && is_same_endpoint(old, &parsed[i])) {
            parsed[i].publication = old->publication;
            old->publication = (struct ingress_publication){0};
        }
    }
    close_all(ingress->members, ingress->count);
    memcpy(ingress->members, parsed, sizeof ingress->members);
    ingress->count = count;
    free(parsed);
    return 0;
}

struct ingress_member *ingress_find(struct ingress *ingress, int32_t member_id) {
    for (int i = 0; i < ingress->count; i++) {
        if (ingress->members[i].member_id == member_id) {
            return &ingress->members[i];
        }
    }
    return NULL;
}

void ingress_member_open(struct ingress *ingress, struct ingress_member *member) {
    struct ingress_publication *publication = &member->publication;
    struct uri_builder builder;
    if (publication->request != NULL || publication->exclusive != NULL ||
        publication->shared != NULL || member->failure.code != 0) {
        return;
    }
    int result = uri_builder_init(&builder, ingress->channel);
    if (result == 0 && member->endpoint != NULL) {
        result = uri_builder_set(&builder, "endpoint", member->endpoint);
    }
    if (result != 0) {
        (void)error_set(&member->failure, result, "ingress channel is too long");
        return;
    }
    publication->request =
        ingress->is_shared
            ? tern_client_async_add_publication(ingress->client, builder.text, ingress->stream_id,
                                                &member->failure)
            : tern_client_async_add_exclusive_publication(ingress->client, builder.text,
                                                          ingress->stream_id, &member->failure);
}

bool ingress_member_poll(struct ingress *ingress, struct ingress_member *member) {
    struct ingress_publication *publication = &member->publication;
    if (publication->request != NULL) {
        int result = ingress->is_shared
                         ? tern_async_poll_publication(publication->request, &publication->shared,
                                                       &member->failure)
                         : tern_async_poll_exclusive_publication(
                               publication->request, &publication->exclusive, &member->failure);
        if (result != 0) {
            publication->request = NULL;
        }
        /* An endpoint that is being closed right now is worth another request. */
        if (result == TERN_ERROR_DRIVER_BASE - 10) {
            member->failure.code = 0;
        }
    }
    return publication->shared != NULL || publication->exclusive != NULL;
}

bool ingress_member_is_connected(const struct ingress_member *member) {
    const struct ingress_publication *publication = &member->publication;
    if (publication->exclusive != NULL) {
        return tern_exclusive_publication_is_connected(publication->exclusive);
    }
    return publication->shared != NULL && tern_publication_is_connected(publication->shared);
}

void ingress_close_others(struct ingress *ingress, const struct ingress_member *keep) {
    for (int i = 0; i < ingress->count; i++) {
        if (&ingress->members[i] != keep) {
            publication_close(&ingress->members[i].publication);
        }
    }
}

void ingress_close(struct ingress *ingress) {
    close_all(ingress->members, ingress->count);
    ingress->count = 0;
}

int64_t ingress_offerv(const struct ingress_publication *publication, const struct iovec *parts,
                       int count) {
    if (publication->exclusive != NULL) {
        return tern_exclusive_publication_offerv(publication->exclusive, parts, count, NULL, NULL);
    }
    if (publication->shared != NULL) {
        return tern_publication_offerv(publication->shared, parts, count, NULL, NULL);
    }
    return TERN_PUBLICATION_NOT_CONNECTED;
}

int64_t ingress_try_claim(const struct ingress_publication *publication, int32_t length,
                          struct tern_buffer_claim *claim) {
    if (publication->exclusive != NULL) {
        return tern_exclusive_publication_try_claim(publication->exclusive, length, claim);
    }
    if (publication->shared != NULL) {
        return tern_publication_try_claim(publication->shared, length, claim);
    }
    return TERN_PUBLICATION_NOT_CONNECTED;
}

int32_t ingress_payload_length_max(const struct ingress_publication *publication) {
    if (publication->exclusive != NULL) {
        return tern_exclusive_publication_payload_length_max(publication->exclusive);
    }
    return publication->shared == NULL ? 0
                                       : tern_publication_payload_length_max(publication->shared);
}

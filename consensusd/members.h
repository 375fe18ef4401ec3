/* The static member list (cluster.md 3.1):
 * id,ingress,consensus,log,catchup,archive[,archiveResponse[,egressResponse]] joined by '|'. */
#ifndef TERN_CONSENSUSD_MEMBERS_H
#define TERN_CONSENSUSD_MEMBERS_H

#include <stdint.h>

#include "base/error.h"

#define MEMBERS_COUNT_MAX 9
#define MEMBERS_TEXT_MAX 4096
#define MEMBER_ENDPOINTS_MIN 5
#define MEMBER_ENDPOINTS_MAX 7
#define MEMBERS_INGRESS_TEXT_MAX 1024

/* Slices of members.text. */
struct member {
    int32_t id;
    union {
        struct {
            const char *ingress;
            const char *consensus;
            const char *log;
            const char *catchup;
            const char *archive;
            const char *archive_response; /* "": not given */
            const char *egress_response;  /* "": not given */
        };
        const char *endpoints[MEMBER_ENDPOINTS_MAX];
    };
    int32_t endpoint_count;
};

/* Owns its text; the members point into it, so it must not be copied. */
struct members {
    struct member list[MEMBERS_COUNT_MAX];
    int32_t count;
    char slices[MEMBERS_TEXT_MAX];
    char text[MEMBERS_TEXT_MAX];            /* as sent in answers */
    char ingress[MEMBERS_INGRESS_TEXT_MAX]; /* id=ingress,... for clients */
};

int members_parse(struct members *members, const char *text, struct tern_error *error);

/* Index of the member, or -1. */
int32_t members_index(const struct members *members, int32_t id);

/* The five endpoints that a node is separately told must be those of its entry. */
int members_check_own(const struct member *own, const char *endpoints, struct tern_error *error);

#endif

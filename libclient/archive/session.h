/* Inside the archive client: the session that requests, polls and the connect steps share.
 * Contract of the public functions: <tern/archive.h>. */
#ifndef TERN_ARCHIVE_SESSION_H
#define TERN_ARCHIVE_SESSION_H

#include <tern/archive.h>
#include <tern/client.h>

#include "base/error.h"
#include "wire/archive_codec.h"

#define ARCHIVE_SESSION_REQUEST_LENGTH_MAX 8192
#define ARCHIVE_SESSION_FRAGMENT_LIMIT 10
#define ARCHIVE_PROTOCOL_VERSION 68608         /* 1.12.0 */
#define ARCHIVE_PROTOCOL_VERSION_WITH_ID 68352 /* 1.11.0: the server answers ArchiveIdRequest */
#define ARCHIVE_REQUEST_STREAM_ID_DEFAULT 10
#define ARCHIVE_RESPONSE_STREAM_ID_DEFAULT 20
#define ARCHIVE_CONTROL_TERM_LENGTH_DEFAULT 65536
#define ARCHIVE_CONTROL_MTU_LENGTH_DEFAULT 1408
#define ARCHIVE_MESSAGE_TIMEOUT_DEFAULT_NS INT64_C(10000000000)
#define ARCHIVE_CLIENT_NAME_MAX 100
#define ARCHIVE_CLOSE_ATTEMPTS 3 /* a close that cannot be sent is found out by the server */

/* Called for each whole message of schema 101 that arrives, of whatever session. */
typedef void (*archive_message_handler)(void *context, const struct sbe_header *header,
                                        const uint8_t *message, int32_t length);

/* Owned by its user; made by connect, which fills it in step by step. */
struct tern_archive {
    tern_client *client;
    tern_exclusive_publication *publication;
    tern_subscription *subscription;
    tern_fragment_assembler *assembler;
    int64_t control_session_id;
    int64_t archive_id;
    int64_t connect_correlation_id; /* repeated answers to it are ignored */
    int64_t message_timeout_ns;
    struct tern_archive_handlers handlers;

    /* what the fragment handler needs while a poll runs */
    archive_message_handler on_message;
    void *on_message_context;
    const struct tern_archive_handlers *current;
    int delivered_count;
    int64_t awaited_correlation_id; /* -1: none */
    bool is_answered;
    struct tern_archive_response answer; /* its text is in answer_text */
    char answer_text[TERN_ERROR_TEXT_MAX];

    char *scratch; /* NUL-terminated copies of texts, during a callback */
    size_t scratch_size;

    /* the request offered last; kept for tern_archive_await when it was back-pressured */
    int64_t request_correlation_id;
    tern_exclusive_publication *request_publication; /* that it goes by */
    tern_exclusive_publication *next_publication;    /* that of the next; NULL: the session's */
    int32_t request_length;                          /* 0: none waits */
    uint8_t request[ARCHIVE_SESSION_REQUEST_LENGTH_MAX];
};

/* Allocate a zeroed session. NULL when there is no memory. */
struct tern_archive *archive_session_create(tern_client *client);
/* Close everything that is there, without telling the server. NULL is fine. */
void archive_session_destroy(struct tern_archive *archive);

/* Poll the response stream once; the handler gets every whole message. */
void archive_session_poll(struct tern_archive *archive, archive_message_handler handler,
                          void *context);

/* Offer archive->request, `encoded` bytes long (negative: it did not fit). Returns
 * `correlation_id` or the codes of <tern/archive.h>. */
int64_t archive_session_offer(struct tern_archive *archive, int32_t encoded,
                              int64_t correlation_id);
/* Offer once more what was back-pressured. */
int64_t archive_session_offer_again(struct tern_archive *archive);

/* The code and text of an answer that is not OK. */
int archive_session_error(const struct tern_archive_response *response, struct tern_error *error);

static inline struct text_slice archive_text(const char *text) {
    return (struct text_slice){text, text == NULL ? 0 : (int32_t)__builtin_strlen(text)};
}

#endif

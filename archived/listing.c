/* Listings of recordings and of recording subscriptions.
 *
 * The cursor is a recording id, not an index, so that recordings which come or go between two duty
 * cycles neither repeat nor hide others. A descriptor that the response stream refuses is tried
 * again in the next cycle; the session's queue is not used, for a listing can be long.
 */
#include "archived/listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "archived/control_session.h"
#include "archived/recording_subscription.h"

#define LISTING_SCAN_MAX 64 /* records looked at per duty cycle */

bool listing_text_contains(struct text_slice text, struct text_slice fragment) {
    if (fragment.length == 0) {
        return true;
    }
    return memmem(text.text, (size_t)text.length, fragment.text, (size_t)fragment.length) != NULL;
}

int listing_begin(struct listing *listing, const struct listing *values,
                  struct text_slice fragment) {
    assert(listing->kind == LISTING_NONE);
    assert(values->kind != LISTING_NONE);
    char *copy = NULL;
    if (fragment.length > 0) {
        copy = malloc((size_t)fragment.length);
        if (copy == NULL) {
            return -ENOMEM;
        }
        memcpy(copy, fragment.text, (size_t)fragment.length);
    }
    *listing = *values;
    listing->fragment = copy;
    listing->fragment_length = fragment.length;
    return 0;
}

void listing_end(struct listing *listing) {
    free(listing->fragment);
    *listing = (struct listing){0};
}

static struct text_slice fragment_of(const struct listing *listing) {
    return (struct text_slice){listing->fragment, listing->fragment_length};
}

static bool matches(const struct listing *listing, const struct catalog *catalog, int index) {
    if (listing->kind == LISTING_RECORDINGS) {
        return true;
    }
    struct archive_catalog_record record;
    catalog_get_at(catalog, index, &record);
    return record.stream_id == listing->stream_id &&
           listing_text_contains(record.original_channel, fragment_of(listing));
}

/* True when the descriptor was sent. */
static bool send_descriptor(struct control_session *session, int index) {
    struct archive_server *server = session->server;
    const struct catalog *catalog = &server->catalog;
    int32_t length = catalog_descriptor(catalog, index, session->id, 0, NULL);
    if (length > ARCHIVE_MESSAGE_LENGTH_MAX) {
        archive_server_error(server, -EMSGSIZE,
                             "the descriptor of a recording is too long to be sent");
        return true; /* cannot be sent to anybody: skip it */
    }
    (void)catalog_descriptor(catalog, index, session->id, session->listing.correlation_id,
                             server->message);
    return control_session_try_send(session, server->message, length);
}

static int step_recordings(struct control_session *session) {
    struct listing *listing = &session->listing;
    const struct catalog *catalog = &session->server->catalog;
    int work = 0;
    int index = catalog_lower_bound(catalog, listing->next_recording_id);
    for (int scanned = 0; scanned < LISTING_SCAN_MAX; scanned++, index++) {
        if (index == catalog->count) {
            control_respond_unknown(session->server, session->id, listing->correlation_id,
                                    ARCHIVE_CONTROL_RESPONSE_CODE_RECORDING_UNKNOWN,
                                    listing->next_recording_id);
            listing_end(listing);
            return work + 1;
        }
        if (matches(listing, catalog, index)) {
            if (!send_descriptor(session, index)) {
                return work;
            }
            listing->sent_count++;
        }
        listing->next_recording_id = catalog->entries[index].recording_id + 1;
        work++;
        if (listing->sent_count == listing->wanted_count) {
            listing_end(listing);
            return work;
        }
    }
    return work;
}

static bool subscription_matches(const struct listing *listing,
                                 const struct recording_subscription *subscription) {
    if (listing->applies_stream_id && subscription->stream_id != listing->stream_id) {
        return false;
    }
    const struct text_slice channel = {subscription->channel.text, subscription->channel.length};
    return listing_text_contains(channel, fragment_of(listing));
}

static bool send_subscription(struct control_session *session,
                              const struct recording_subscription *subscription) {
    struct archive_server *server = session->server;
    const struct archive_recording_subscription_descriptor descriptor = {
        .control_session_id = session->id,
        .correlation_id = session->listing.correlation_id,
        .subscription_id = subscription->id,
        .stream_id = subscription->stream_id,
        .stripped_channel = {subscription->channel.text, subscription->channel.length},
    };
    int32_t length = archive_recording_subscription_descriptor_encode(&descriptor, server->message,
                                                                      ARCHIVE_MESSAGE_LENGTH_MAX);
    assert(length > 0); /* a channel has at most 4095 bytes */
    return control_session_try_send(session, server->message, length);
}

static int step_subscriptions(struct control_session *session) {
    struct archive_server *server = session->server;
    struct listing *listing = &session->listing;
    int work = 0;
    while (listing->sent_count < listing->wanted_count) {
        if (listing->next_index >= server->subscriptions.count) {
            control_respond_unknown(server, session->id, listing->correlation_id,
                                    ARCHIVE_CONTROL_RESPONSE_CODE_SUBSCRIPTION_UNKNOWN, 0);
            break;
        }
        const struct recording_subscription *subscription =
            server->subscriptions.items[listing->next_index];
        if (recording_subscription_is_listed(subscription) &&
            subscription_matches(listing, subscription)) {
            if (!send_subscription(session, subscription)) {
                return work;
            }
            listing->sent_count++;
        }
        listing->next_index++;
        work++;
    }
    listing_end(listing);
    return work + 1;
}

int listing_step(struct control_session *session) {
    switch (session->listing.kind) {
    case LISTING_NONE:
        return 0;
    case LISTING_SUBSCRIPTIONS:
        return step_subscriptions(session);
    case LISTING_RECORDINGS:
    case LISTING_FOR_URI:
        return step_recordings(session);
    }
    return 0;
}

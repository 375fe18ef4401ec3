/* Fragment assemblers: handlers that pass whole messages on (shared-memory.md 5.16). A message in
 * one fragment, the usual case, passes through without a copy or a look-up. */
#include <stdlib.h>

#include "base/memory.h"
#include "client/message_builder.h"

struct tern_fragment_assembler {
    tern_fragment_handler handler;
    void *handler_context;
    struct message_builder builder;
};

struct tern_controlled_fragment_assembler {
    tern_controlled_fragment_handler handler;
    void *handler_context;
    struct message_builder builder;
};

static bool is_whole(const struct tern_header *header) {
    return (header->frame->flags & FRAME_FLAG_UNFRAGMENTED) == FRAME_FLAG_UNFRAGMENTED;
}

tern_fragment_assembler *tern_fragment_assembler_create(tern_fragment_handler handler,
                                                        void *handler_context) {
    tern_fragment_assembler *assembler = memory_allocate_lines(sizeof *assembler);
    if (assembler != NULL) {
        assembler->handler = handler;
        assembler->handler_context = handler_context;
    }
    return assembler;
}

void tern_fragment_assembler_on_fragment(void *context, const uint8_t *buffer, int32_t length,
                                         const tern_header *header) {
    tern_fragment_assembler *assembler = context;
    if (LIKELY(is_whole(header))) {
        assembler->handler(assembler->handler_context, buffer, length, header);
        return;
    }
    struct message_session *session =
        message_builder_add(&assembler->builder, buffer, length, header);
    if (session != NULL) {
        struct frame_header frame;
        struct tern_header whole = message_session_header(session, header, &frame);
        int32_t total = session->length;
        /* The length stays until the call returned: the handler reads the session's buffer. */
        assembler->handler(assembler->handler_context, session->buffer, total, &whole);
        message_session_reset(session);
    }
}

void tern_fragment_assembler_remove_session(tern_fragment_assembler *assembler,
                                            int32_t session_id) {
    message_builder_remove(&assembler->builder, session_id);
}

int64_t tern_fragment_assembler_dropped_count(const tern_fragment_assembler *assembler) {
    return assembler->builder.dropped_count;
}

void tern_fragment_assembler_destroy(tern_fragment_assembler *assembler) {
    if (assembler != NULL) {
        message_builder_close(&assembler->builder);
        free(assembler);
    }
}

tern_controlled_fragment_assembler *
tern_controlled_fragment_assembler_create(tern_controlled_fragment_handler handler,
                                          void *handler_context) {
    tern_controlled_fragment_assembler *assembler = memory_allocate_lines(sizeof *assembler);
    if (assembler != NULL) {
        assembler->handler = handler;
        assembler->handler_context = handler_context;
    }
    return assembler;
}

enum tern_controlled_action
tern_controlled_fragment_assembler_on_fragment(void *context, const uint8_t *buffer, int32_t length,
                                               const tern_header *header) {
    tern_controlled_fragment_assembler *assembler = context;
    if (LIKELY(is_whole(header))) {
        return assembler->handler(assembler->handler_context, buffer, length, header);
    }
    struct message_session *session =
        message_builder_add(&assembler->builder, buffer, length, header);
    if (session == NULL) {
        return TERN_ACTION_CONTINUE;
    }
    struct frame_header frame;
    struct tern_header whole = message_session_header(session, header, &frame);
    enum tern_controlled_action action =
        assembler->handler(assembler->handler_context, session->buffer, session->length, &whole);
    if (action == TERN_ACTION_ABORT) {
        message_session_undo(session, length, header);
    } else {
        message_session_reset(session);
    }
    return action;
}

void tern_controlled_fragment_assembler_remove_session(
    tern_controlled_fragment_assembler *assembler, int32_t session_id) {
    message_builder_remove(&assembler->builder, session_id);
}

int64_t tern_controlled_fragment_assembler_dropped_count(
    const tern_controlled_fragment_assembler *assembler) {
    return assembler->builder.dropped_count;
}

void tern_controlled_fragment_assembler_destroy(tern_controlled_fragment_assembler *assembler) {
    if (assembler != NULL) {
        message_builder_close(&assembler->builder);
        free(assembler);
    }
}

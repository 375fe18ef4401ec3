/* The history of a list workload. It judges nothing, so that its file is evidence: the checker
 * does, which reads the file. */
#include "list_history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void *grow(void *array, int64_t *capacity, int64_t count, size_t element_length) {
    if (count < *capacity) {
        return array;
    }
    *capacity = *capacity == 0 ? 1024 : *capacity * 2;
    array = realloc(array, (size_t)*capacity * element_length);
    if (array == NULL) {
        abort();
    }
    return array;
}

void list_history_add(struct list_history *history, const struct list_operation *operation) {
    history->operations =
        grow(history->operations, &history->capacity, history->count, sizeof *history->operations);
    history->operations[history->count++] = *operation;
}

bool list_history_answer(struct list_history *history, int64_t request_id,
                         const struct list_answer *answer) {
    if (request_id < 1 || request_id > history->count) {
        return false;
    }
    struct list_operation *operation = &history->operations[request_id - 1];
    if (operation->kind != answer->kind) {
        return false;
    }
    if (operation->state == LIST_OK) {
        operation->is_contradicted |=
            operation->length != answer->length || operation->hash != answer->hash;
        return true;
    }
    history->unknown_count -= operation->state == LIST_UNKNOWN;
    history->answered_count++;
    operation->state = LIST_OK;
    operation->length = answer->length;
    operation->hash = answer->hash;
    operation->answered_ns = answer->answered_ns;
    return true;
}

void list_history_set_unknown(struct list_history *history, int64_t request_id) {
    struct list_operation *operation = &history->operations[request_id - 1];
    if (operation->state == LIST_PENDING) {
        operation->state = LIST_UNKNOWN;
        history->unknown_count++;
    }
}

int64_t list_history_invoked_ns(const struct list_history *history, int64_t request_id) {
    return history->operations[request_id - 1].invoked_ns;
}

void list_history_add_final(struct list_history *history, int64_t value) {
    history->final = grow(history->final, &history->final_capacity, history->final_count,
                          sizeof *history->final);
    history->final[history->final_count++] = value;
}

bool list_history_write(const struct list_history *history, const char *path) {
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return false;
    }
    fprintf(file, "# tern list history 1\n");
    for (int64_t i = 0; i < history->count; i++) {
        const struct list_operation *operation = &history->operations[i];
        fprintf(file,
                "op %" PRId64 " %" PRId32 " %" PRId64 " %s %" PRId64 " %" PRId64 " %" PRId64
                " %s %" PRId64 " %" PRIu64 "\n",
                i + 1, operation->client, operation->session_id,
                operation->kind == LIST_APPEND ? "append" : "read", operation->value,
                operation->invoked_ns, operation->answered_ns,
                operation->state == LIST_OK ? "ok" : "unknown", operation->length, operation->hash);
        if (operation->is_contradicted) {
            fprintf(file, "contradiction %" PRId64 "\n", i + 1);
        }
    }
    fprintf(file, "final %" PRId64 " %" PRIu64 "\n", history->final_length, history->final_hash);
    for (int64_t i = 0; i < history->final_count; i++) {
        fprintf(file, "value %" PRId64 "\n", history->final[i]);
    }
    bool is_good = ferror(file) == 0;
    return fclose(file) == 0 && is_good;
}

void list_history_close(struct list_history *history) {
    free(history->operations);
    free(history->final);
    *history = (struct list_history){0};
}

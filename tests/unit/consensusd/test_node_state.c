#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "consensusd/node_state.h"
#include "memory_store.h"

/* cluster.md 12.3, V22. */
static const uint8_t vector_22[64] = {
    0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x18, 0x00, 0x2d, 0x01, 0x70, 0x00, 0x0a, 0x00,
    0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x7b, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x30, 0x01, 0x70, 0x00, 0x0a, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};

Test(node_state, file_has_the_bytes_of_the_specification) {
    struct memory_store memory;
    struct node_state state;
    struct tern_error error;
    memory_store_init(&memory);
    cr_assert_eq(node_state_open(&state, &memory.store, "d", &error), 0);
    cr_assert_eq(state.ballot.candidate_term_id, -1);
    struct raft_ballot ballot = {3, RAFT_NULL, RAFT_NULL, RAFT_NULL};
    cr_assert_eq(node_state_write(&state, &ballot, 4096, 1700000000123), 0);
    struct memory_file *file = memory_store_find(&memory, "d/node-state.dat");
    cr_assert_eq(file->length, 1 << 20);
    cr_assert_eq(memcmp(file->bytes, vector_22, sizeof vector_22), 0);
    for (int64_t i = 64; i < file->length; i++) {
        cr_assert_eq(file->bytes[i], 0);
    }
    node_state_close(&state);
    memory_store_close(&memory);
}

Test(node_state, vote_survives_a_power_loss_and_is_bound_to_its_candidate) {
    struct memory_store memory;
    struct node_state state;
    struct tern_error error;
    memory_store_init(&memory);
    memory_store_put(&memory, "d/node-state.dat", vector_22, sizeof vector_22);
    cr_assert_lt(node_state_open(&state, &memory.store, "d", &error), 0, "a file cut short");
    memory_store_find(&memory, "d/node-state.dat")->length = 0;
    cr_assert_eq(node_state_open(&state, &memory.store, "d", &error), 0, "%s", error.text);
    struct raft_ballot ballot = {
        .candidate_term_id = 9, .voted_term_id = 9, .voted_for_id = 2, .promised_term_id = 9};
    cr_assert_eq(node_state_write(&state, &ballot, 64, 5), 0);
    node_state_close(&state);
    memory_store_crash(&memory);
    cr_assert_eq(node_state_open(&state, &memory.store, "d", &error), 0);
    cr_assert_eq(state.ballot.candidate_term_id, 9);
    cr_assert_eq(state.ballot.voted_term_id, 9);
    cr_assert_eq(state.ballot.voted_for_id, 2);
    cr_assert_eq(state.ballot.promised_term_id, 9);
    cr_assert_eq(state.log_position, 64);
    node_state_close(&state);
    /* A vote that is damaged is no vote, but the term counts. */
    memory_store_find(&memory, "d/node-state.dat")->bytes[104] ^= 1;
    cr_assert_eq(node_state_open(&state, &memory.store, "d", &error), 0);
    cr_assert_eq(state.ballot.candidate_term_id, 9);
    cr_assert_eq(state.ballot.voted_term_id, RAFT_NULL);
    node_state_close(&state);
    memory_store_close(&memory);
}

Test(node_state, damaged_or_foreign_files_are_refused_and_write_errors_are_told) {
    struct {
        int offset;
        uint8_t value;
        int code;
    } cases[] = {
        {2, 1, TERN_ERROR_VERSION}, /* 1.x */
        {1, 0, TERN_ERROR_VERSION}, /* 0 is no version */
        {8, 1, -EBADMSG},           /* block */
        {16, 1, -EBADMSG},          /* frame length */
        {50, 0, -EBADMSG},          /* no footer */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[256] = {0};
        struct memory_store memory;
        struct node_state state;
        struct tern_error error;
        memory_store_init(&memory);
        memcpy(bytes, vector_22, sizeof vector_22);
        bytes[cases[i].offset] = cases[i].value;
        memory_store_put(&memory, "d/node-state.dat", bytes, sizeof bytes);
        cr_assert_eq(node_state_open(&state, &memory.store, "d", &error), cases[i].code,
                     "case %zu: %s", i, error.text);
        memory_store_close(&memory);
    }
    struct memory_store memory;
    struct node_state state;
    struct tern_error error;
    memory_store_init(&memory);
    cr_assert_eq(node_state_open(&state, &memory.store, "d", &error), 0);
    struct raft_ballot ballot = {1, RAFT_NULL, RAFT_NULL, RAFT_NULL};
    for (int fail = 0; fail < 2; fail++) {
        memory.fail_after = fail; /* the write, then the sync */
        cr_assert_eq(node_state_write(&state, &ballot, 0, 0), -EIO);
    }
    node_state_close(&state);
    memory_store_close(&memory);
}

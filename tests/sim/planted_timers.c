/* Bugs of timers and messages of services that can be planted (see planted.h). */
#include <stdint.h>

#include "consensusd/consensus.h"
#include "sim/planted.h"

int __real_module_snapshot_add_timer(struct module_snapshot *snapshot, int64_t timer_id,
                                     int64_t deadline);
int __wrap_module_snapshot_add_timer(struct module_snapshot *snapshot, int64_t timer_id,
                                     int64_t deadline);
int __wrap_module_snapshot_add_timer(struct module_snapshot *snapshot, int64_t timer_id,
                                     int64_t deadline) {
    return planted_is(PLANTED_TIMER_NOT_IN_SNAPSHOT)
               ? 0
               : __real_module_snapshot_add_timer(snapshot, timer_id, deadline);
}

int __real_consensus_on_timer_entry(struct consensus *consensus, const uint8_t *buffer,
                                    int32_t length, int64_t position);
int __wrap_consensus_on_timer_entry(struct consensus *consensus, const uint8_t *buffer,
                                    int32_t length, int64_t position);
int __wrap_consensus_on_timer_entry(struct consensus *consensus, const uint8_t *buffer,
                                    int32_t length, int64_t position) {
    return planted_is(PLANTED_TIMER_FIRED_TWICE)
               ? 0
               : __real_consensus_on_timer_entry(consensus, buffer, length, position);
}

void __real_timer_table_cancel(struct timer_table *table, int64_t id);
void __wrap_timer_table_cancel(struct timer_table *table, int64_t id);
void __wrap_timer_table_cancel(struct timer_table *table, int64_t id) {
    if (!planted_is(PLANTED_TIMER_NOT_CANCELLED)) {
        __real_timer_table_cancel(table, id);
    }
}

void __real_service_queue_on_log(struct service_queue *queue, int64_t id);
void __wrap_service_queue_on_log(struct service_queue *queue, int64_t id);
void __wrap_service_queue_on_log(struct service_queue *queue, int64_t id) {
    if (!planted_is(PLANTED_SERVICE_MESSAGE_TWICE)) {
        __real_service_queue_on_log(queue, planted_is(PLANTED_SERVICE_MESSAGE_LOST) ? id + 1 : id);
    }
}

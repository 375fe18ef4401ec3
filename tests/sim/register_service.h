/* A service of a few registers that clients write, read and compare-and-set. A request is four
 * little-endian words: operation, request id, register, value, and for CAS a fifth, the version
 * that it expects. The answer is six: operation, request id, register, value, version, 1 when it
 * was done. The version of a register counts its writes, so an answer says where in their order the
 * operation stands. */
#ifndef TERN_SIM_REGISTER_SERVICE_H
#define TERN_SIM_REGISTER_SERVICE_H

#include <tern/service.h>

#define REGISTER_COUNT 4
#define REGISTER_REQUEST_WORDS 5
#define REGISTER_ANSWER_WORDS 6

enum register_operation { REGISTER_WRITE = 1, REGISTER_READ = 2, REGISTER_CAS = 3 };

extern const struct tern_service_plugin register_service_plugin;
uint64_t register_service_hash(const void *service);

#endif

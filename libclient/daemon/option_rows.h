/* The usual rows of an option table, a line or two each. For the file that holds the table only: it
 * defines STORE(member) as OPTION_STORE of its conf struct. Rows that need more are written out. */
#ifndef TERN_DAEMON_OPTION_ROWS_H
#define TERN_DAEMON_OPTION_ROWS_H

#include "base/clock.h"
#include "daemon/options.h"

#define BOOL(key_, env_, member_, text_, doc_)                                                     \
    {                                                                                              \
        .key = key_, .env = env_, STORE(member_), .type = OPTION_BOOL, .default_text = text_,      \
        .doc = doc_                                                                                \
    }
#define I32(key_, env_, member_, text_, min_, max_, doc_)                                          \
    {                                                                                              \
        .key = key_, .env = env_, STORE(member_), .type = OPTION_I32, .default_text = text_,       \
        .min = min_, .max = max_, .doc = doc_                                                      \
    }
/* Any number that tells streams apart. */
#define STREAM(key_, env_, member_, text_, doc_)                                                   \
    I32(key_, env_, member_, text_, INT32_MIN, INT32_MAX, doc_)
#define SIZE(key_, env_, member_, text_, min_, max_, flags_, doc_)                                 \
    {                                                                                              \
        .key = key_, .env = env_, STORE(member_), .type = OPTION_SIZE, .default_text = text_,      \
        .min = min_, .max = max_, .flags = flags_, .doc = doc_                                     \
    }
#define DURATION(key_, env_, member_, text_, min_, doc_)                                           \
    {                                                                                              \
        .key = key_, .env = env_, STORE(member_), .type = OPTION_DURATION, .default_text = text_,  \
        .min = min_, .max = INT64_MAX, .doc = doc_                                                 \
    }
/* From a millisecond to an hour. */
#define TIMEOUT(key_, env_, member_, text_, doc_)                                                  \
    {                                                                                              \
        .key = key_, .env = env_, STORE(member_), .type = OPTION_DURATION, .default_text = text_,  \
        .min = NS_PER_MS, .max = 3600 * NS_PER_S, .doc = doc_                                      \
    }
#define TEXT(key_, env_, member_, text_, doc_)                                                     \
    {                                                                                              \
        .key = key_, .env = env_, STORE(member_), .type = OPTION_STRING, .default_text = text_,    \
        .doc = doc_                                                                                \
    }
/* A text that must be there, as that of a channel must. */
#define CHANNEL(key_, env_, member_, text_, doc_)                                                  \
    {                                                                                              \
        .key = key_, .env = env_, STORE(member_), .type = OPTION_STRING, .default_text = text_,    \
        .flags = OPTION_REQUIRED, .doc = doc_                                                      \
    }
#define PATH(key_, env_, member_, text_, flags_, doc_)                                             \
    {                                                                                              \
        .key = key_, .env = env_, STORE(member_), .type = OPTION_PATH, .default_text = text_,      \
        .flags = flags_, .doc = doc_                                                               \
    }
#define ENUM(key_, env_, member_, text_, names_, doc_)                                             \
    {                                                                                              \
        .key = key_, .env = env_, STORE(member_), .type = OPTION_ENUM, .default_text = text_,      \
        .names = names_, .doc = doc_                                                               \
    }
#define NOT_YET(key_, env_, text_, doc_)                                                           \
    { .key = key_, .env = env_, .type = OPTION_NOT_YET, .default_text = text_, .doc = doc_ }
#define REFUSED(key_, env_, text_, doc_)                                                           \
    { .key = key_, .env = env_, .type = OPTION_REFUSED, .default_text = text_, .doc = doc_ }

#endif

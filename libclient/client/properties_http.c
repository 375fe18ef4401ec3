/* Properties from a web server, by libcurl. It is loaded when it is asked for: programs that read
 * their properties elsewhere need not carry it. */
#include <tern/system.h>

#include <errno.h>

#include "base/error.h"

#ifdef TERN_HAS_CURL

#include <curl/curl.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "libcurl.so.4"
#define TIMEOUT_S 10L

struct curl_library {
    void *handle;
    CURL *(*init)(void);
    CURLcode (*set)(CURL *, CURLoption, ...);
    CURLcode (*perform)(CURL *);
    CURLcode (*get)(CURL *, CURLINFO, ...);
    const char *(*describe)(CURLcode);
    void (*cleanup)(CURL *);
};

struct text {
    char *bytes; /* TERN_PROPERTIES_LENGTH_MAX */
    size_t length;
};

static bool find(void *handle, const char *name, void *function) {
    void *symbol = dlsym(handle, name);
    memcpy(function, &symbol, sizeof symbol); /* ISO C converts no object pointer to a function's */
    return symbol != NULL;
}

static int open_library(struct curl_library *curl, struct tern_error *error) {
    curl->handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (curl->handle == NULL) {
        return error_set(error, -ENOSYS, "%s is needed to read properties from a web server: %s",
                         LIBRARY, dlerror());
    }
    if (!find(curl->handle, "curl_easy_init", &curl->init) ||
        !find(curl->handle, "curl_easy_setopt", &curl->set) ||
        !find(curl->handle, "curl_easy_perform", &curl->perform) ||
        !find(curl->handle, "curl_easy_getinfo", &curl->get) ||
        !find(curl->handle, "curl_easy_strerror", &curl->describe) ||
        !find(curl->handle, "curl_easy_cleanup", &curl->cleanup)) {
        (void)dlclose(curl->handle);
        return error_set(error, -ENOSYS, "%s is not the libcurl that is expected", LIBRARY);
    }
    return 0;
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *context) {
    struct text *text = context;
    size_t length = size * count;
    if (length > TERN_PROPERTIES_LENGTH_MAX - text->length) {
        return 0; /* the transfer ends with CURLE_WRITE_ERROR */
    }
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    return length;
}

static int code_of(CURLcode failure) {
    switch (failure) {
    case CURLE_URL_MALFORMAT:
        return -EINVAL;
    case CURLE_COULDNT_RESOLVE_HOST:
        return -ENOENT;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_WRITE_ERROR:
        return -EMSGSIZE;
    default:
        return TERN_ERROR_PROTOCOL;
    }
}

static int fetch(const struct curl_library *curl, const char *url, struct text *text,
                 struct tern_error *error) {
    char reason[CURL_ERROR_SIZE] = "";
    long status = 0;
    CURL *transfer = curl->init();
    if (transfer == NULL) {
        return error_set(error, -ENOMEM, "no memory for a transfer");
    }
    (void)curl->set(transfer, CURLOPT_URL, url);
    (void)curl->set(transfer, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl->set(transfer, CURLOPT_NOSIGNAL, 1L);
    (void)curl->set(transfer, CURLOPT_TIMEOUT, TIMEOUT_S);
    (void)curl->set(transfer, CURLOPT_ERRORBUFFER, reason);
    (void)curl->set(transfer, CURLOPT_WRITEFUNCTION, on_bytes);
    (void)curl->set(transfer, CURLOPT_WRITEDATA, text);
    CURLcode failure = curl->perform(transfer);
    (void)curl->get(transfer, CURLINFO_RESPONSE_CODE, &status);
    curl->cleanup(transfer);
    if (failure != CURLE_OK) {
        return error_set(error, code_of(failure), "cannot read properties from %.120s: %s", url,
                         reason[0] != '\0' ? reason : curl->describe(failure));
    }
    if (status != 200) {
        return error_set(error, TERN_ERROR_PROTOCOL, "the server of %.120s answers %ld", url,
                         status);
    }
    return 0;
}

int tern_properties_load_http(const char *url, struct tern_error *error) {
    struct curl_library curl = {0};
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return error_set(error, -EINVAL, "'%.120s' is not http://host[:port][/path]", url);
    }
    int result = open_library(&curl, error);
    if (result != 0) {
        return result;
    }
    struct text text = {.bytes = malloc(TERN_PROPERTIES_LENGTH_MAX)};
    result = text.bytes == NULL ? error_set(error, -ENOMEM, "no memory for properties")
                                : fetch(&curl, url, &text, error);
    if (result == 0) {
        result = tern_properties_load(text.bytes, (int32_t)text.length, error);
    }
    free(text.bytes);
    (void)dlclose(curl.handle);
    return result;
}

#else

int tern_properties_load_http(const char *url, struct tern_error *error) {
    return error_set(error, -ENOSYS, "built without libcurl: cannot read properties from %.120s",
                     url);
}

#endif

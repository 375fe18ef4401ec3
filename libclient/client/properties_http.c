/* Properties from a web server: one request of HTTP/1.0, the answer up to its end. */
#include <tern/system.h>

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/error.h"

#define SCHEME "http://"
#define HOST_LENGTH_MAX 255
#define PORT_LENGTH_MAX 5
#define PATH_LENGTH_MAX 1023
#define TIMEOUT_S 10 /* for each step */
#define HEADER_LENGTH_MAX 16384
#define ANSWER_LENGTH_MAX (HEADER_LENGTH_MAX + TERN_PROPERTIES_LENGTH_MAX)

struct url {
    char host[HOST_LENGTH_MAX + 1];
    char port[PORT_LENGTH_MAX + 1];
    char path[PATH_LENGTH_MAX + 1];
};

static bool copy(char *to, size_t length_max, const char *from, size_t length) {
    if (length > length_max) {
        return false;
    }
    memcpy(to, from, length);
    to[length] = '\0';
    return true;
}

/* http://host[:port][/path], the host in brackets when it is an IPv6 address. */
static int parse_url(struct url *url, const char *text, struct tern_error *error) {
    bool is_good = strncmp(text, SCHEME, strlen(SCHEME)) == 0 && strpbrk(text, " \t\r\n") == NULL;
    const char *host = is_good ? text + strlen(SCHEME) : "";
    const char *path = host + strcspn(host, "/");
    const char *end = *host == '[' ? strchr(host, ']') : host + strcspn(host, ":/");
    if (*host == '[' && end != NULL) {
        is_good = copy(url->host, HOST_LENGTH_MAX, host + 1, (size_t)(end - host - 1));
        end++;
    } else if (end != NULL) {
        is_good = is_good && copy(url->host, HOST_LENGTH_MAX, host, (size_t)(end - host));
    }
    is_good = is_good && end != NULL && url->host[0] != '\0' && end <= path;
    if (is_good && *end == ':') {
        is_good = copy(url->port, PORT_LENGTH_MAX, end + 1, (size_t)(path - end - 1)) &&
                  url->port[0] != '\0' && strspn(url->port, "0123456789") == strlen(url->port);
    } else {
        is_good = is_good && end == path && copy(url->port, PORT_LENGTH_MAX, "80", 2);
    }
    is_good = is_good && copy(url->path, PATH_LENGTH_MAX, *path == '/' ? path : "/",
                              *path == '/' ? strlen(path) : 1);
    return is_good ? 0
                   : error_set(error, -EINVAL, "'%.120s' is not http://host[:port][/path]", text);
}

static int connect_to(const struct url *url, struct tern_error *error) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(url->host, url->port, &hints, &found);
    if (failure != 0) {
        return error_set(error, -ENOENT, "cannot resolve host '%s': %s", url->host,
                         gai_strerror(failure));
    }
    int descriptor = -1;
    int problem = ECONNREFUSED;
    for (const struct addrinfo *i = found; descriptor < 0 && i != NULL; i = i->ai_next) {
        descriptor = socket(i->ai_family, i->ai_socktype | SOCK_CLOEXEC, i->ai_protocol);
        if (descriptor < 0) {
            problem = errno;
            continue;
        }
        (void)setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
        (void)setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
        if (connect(descriptor, i->ai_addr, i->ai_addrlen) != 0) {
            problem = errno;
            (void)close(descriptor);
            descriptor = -1;
        }
    }
    freeaddrinfo(found);
    return descriptor >= 0
               ? descriptor
               : error_set_errno(error, problem, "cannot connect to %s:%s", url->host, url->port);
}

static int send_request(int descriptor, const struct url *url, struct tern_error *error) {
    char request[PATH_LENGTH_MAX + HOST_LENGTH_MAX + 128];
    bool is_v6 = strchr(url->host, ':') != NULL;
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.0\r\nHost: %s%s%s:%s\r\nAccept: */*\r\n"
                          "Connection: close\r\n\r\n",
                          url->path, is_v6 ? "[" : "", url->host, is_v6 ? "]" : "", url->port);
    ssize_t sent = send(descriptor, request, (size_t)length, MSG_NOSIGNAL);
    return sent == length ? 0
                          : error_set_errno(error, sent < 0 ? errno : EIO, "cannot send to %s:%s",
                                            url->host, url->port);
}

/* Up to the end; the length, or a negative code. */
static ssize_t receive_answer(int descriptor, char *answer, struct tern_error *error) {
    ssize_t length = 0;
    for (;;) {
        ssize_t bytes =
            recv(descriptor, answer + length, (size_t)(ANSWER_LENGTH_MAX + 1 - length), 0);
        if (bytes < 0 && errno == EINTR) {
            continue;
        }
        if (bytes < 0) {
            return error_set_errno(error, errno == EAGAIN ? ETIMEDOUT : errno,
                                   "cannot read the properties");
        }
        length += bytes;
        if (bytes == 0) {
            break;
        }
        if (length > ANSWER_LENGTH_MAX) {
            return error_set(error, -EMSGSIZE, "properties of more than %d bytes",
                             TERN_PROPERTIES_LENGTH_MAX);
        }
    }
    answer[length] = '\0';
    return length;
}

static int load_answer(const char *answer, ssize_t length, struct tern_error *error) {
    int status = 0;
    const char *body = strstr(answer, "\r\n\r\n");
    if (sscanf(answer, "HTTP/1.%*1d %3d", &status) != 1 || body == NULL) {
        return error_set(error, TERN_ERROR_PROTOCOL, "the answer is not HTTP: '%.40s'", answer);
    }
    if (status != 200) {
        return error_set(error, TERN_ERROR_PROTOCOL, "the server answers %.*s",
                         (int)strcspn(answer, "\r\n"), answer);
    }
    body += 4;
    return tern_properties_load(body, (int32_t)(length - (body - answer)), error);
}

int tern_properties_load_http(const char *url, struct tern_error *error) {
    struct url parsed;
    int result = parse_url(&parsed, url, error);
    int descriptor = result < 0 ? -1 : connect_to(&parsed, error);
    if (descriptor < 0) {
        return result < 0 ? result : descriptor;
    }
    char *answer = malloc(ANSWER_LENGTH_MAX + 2);
    result = answer == NULL ? error_set(error, -ENOMEM, "no memory for properties")
                            : send_request(descriptor, &parsed, error);
    if (result == 0) {
        ssize_t length = receive_answer(descriptor, answer, error);
        result = length < 0 ? (int)length : load_answer(answer, length, error);
    }
    free(answer);
    (void)close(descriptor);
    return result;
}

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tern/client.h>

static int load(const char *text, struct tern_error *error) {
    return tern_properties_load(text, (int32_t)strlen(text), error);
}

Test(system, sets_the_environment_from_properties) {
    struct tern_error error = {0};
    setenv("AERON_MTU_LENGTH", "1", 1);
    cr_assert_eq(load("# a comment\n"
                      "! another\n"
                      "\n"
                      "aeron.dir=/dev/shm/some where\r\n"
                      "  aeron.mtu.length =  8k \n"
                      "AERON_CLIENT_NAME=a=b\n"
                      "aeron.empty=",
                      &error),
                 4, "%s", error.text);
    cr_assert_str_eq(getenv("AERON_DIR"), "/dev/shm/some where");
    cr_assert_str_eq(getenv("AERON_MTU_LENGTH"), "8k");
    cr_assert_str_eq(getenv("AERON_CLIENT_NAME"), "a=b");
    cr_assert_str_eq(getenv("AERON_EMPTY"), "");
    tern_context *context = tern_context_create(&error);
    cr_assert_str_eq(tern_context_directory(context), "/dev/shm/some where");
    cr_assert_str_eq(tern_context_client_name(context), "a=b");
    tern_context_destroy(context);
    cr_assert_eq(load("", NULL), 0);
}

Test(system, sets_nothing_when_a_line_is_wrong) {
    static const char *const wrong[] = {"aeron.dir", "=value", "aeron dir=x", "aeron-dir=x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct tern_error error = {0};
        char text[128];
        (void)snprintf(text, sizeof text, "aeron.fine=1\n%s\n", wrong[i]);
        cr_assert_eq(load(text, &error), -EINVAL, "%s", wrong[i]);
        cr_assert_neq(strstr(error.text, "line 2"), NULL, "%s", error.text);
        cr_assert_neq(strstr(error.text, wrong[i]), NULL, "%s", error.text);
        cr_assert_eq(getenv("AERON_FINE"), NULL);
    }
    cr_assert_eq(tern_properties_load("a\0b=c", 5, NULL), -EINVAL);
    cr_assert_eq(tern_properties_load("", -1, NULL), -EINVAL);
    cr_assert_eq(tern_properties_load("", TERN_PROPERTIES_LENGTH_MAX + 1, NULL), -EINVAL);
    char *line = malloc(TERN_PROPERTIES_LENGTH_MAX);
    memset(line, 'a', TERN_PROPERTIES_LENGTH_MAX);
    line[1] = '=';
    cr_assert_eq(tern_properties_load(line, TERN_PROPERTIES_LENGTH_MAX, NULL), -EINVAL);
    cr_assert_eq(tern_properties_load(line, 4096, NULL), 1);
    free(line);
}

Test(system, reads_properties_from_a_file) {
    struct tern_error error = {0};
    char path[] = "/tmp/tern-properties-XXXXXX";
    int descriptor = mkstemp(path);
    cr_assert_geq(descriptor, 0);
    cr_assert_eq(write(descriptor, "aeron.a=1\naeron.b=2\n", 20), 20);
    cr_assert_eq(tern_properties_load_file(path, &error), 2, "%s", error.text);
    cr_assert_str_eq(getenv("AERON_A"), "1");
    cr_assert_str_eq(getenv("AERON_B"), "2");
    cr_assert_eq(ftruncate(descriptor, TERN_PROPERTIES_LENGTH_MAX + 1), 0);
    cr_assert_eq(tern_properties_load_file(path, &error), -EINVAL);
    (void)close(descriptor);
    (void)unlink(path);
    cr_assert_eq(tern_properties_load_file(path, &error), -ENOENT);
    cr_assert_eq(tern_properties_load_file("/tmp", &error), -EISDIR);
}

/* A web server for one request, which gives `answer`; what it was asked for in *request. */
struct server {
    int listener;
    uint16_t port;
    const char *answer;
    char request[512];
};

static void *serve(void *argument) {
    struct server *server = argument;
    int connection = accept(server->listener, NULL, NULL);
    ssize_t length = recv(connection, server->request, sizeof server->request - 1, 0);
    server->request[length < 0 ? 0 : length] = '\0';
    (void)send(connection, server->answer, strlen(server->answer), MSG_NOSIGNAL);
    (void)close(connection);
    return NULL;
}

static int load_from(const char *answer, char *request, struct tern_error *error) {
    struct server server = {.answer = answer};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    pthread_t thread;
    char url[64];
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(server.listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(server.listener, 1), 0);
    cr_assert_eq(getsockname(server.listener, (struct sockaddr *)&address, &length), 0);
    cr_assert_eq(pthread_create(&thread, NULL, serve, &server), 0);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/p?a=b", ntohs(address.sin_port));
    int result = tern_properties_load_http(url, error);
    (void)pthread_join(thread, NULL);
    (void)close(server.listener);
    strcpy(request, server.request);
    return result;
}

Test(system, properties_come_from_a_web_server) {
    struct tern_error error = {0};
    char request[512];
    cr_assert_eq(load_from("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
                           "aeron.test.web=yes\n# no\naeron.test.two=2\n",
                           request, &error),
                 2, "%s", error.text);
    cr_assert_str_eq(getenv("AERON_TEST_WEB"), "yes");
    cr_assert_str_eq(getenv("AERON_TEST_TWO"), "2");
    cr_assert_eq(strncmp(request, "GET /p?a=b HTTP/1.1\r\nHost: 127.0.0.1:", 37), 0, "%s", request);
    cr_assert_eq(load_from("HTTP/1.0 404 Not Found\r\n\r\na=b\n", request, &error),
                 TERN_ERROR_PROTOCOL);
    cr_assert_not_null(strstr(error.text, "answers 404"), "%s", error.text);
    cr_assert_eq(load_from("SSH-2.0-x\r\n", request, &error), TERN_ERROR_PROTOCOL);
    cr_assert_eq(load_from("", request, &error), TERN_ERROR_PROTOCOL);
    cr_assert_eq(load_from("HTTP/1.0 200 OK\r\n\r\nno property\n", request, &error), -EINVAL);
    static const char *const bad[] = {"ftp://a/b",     "http://",      "http://a:b/c",    "a/b",
                                      "http://[::1/p", "http://a b/c", "http://a:123456/"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(tern_properties_load_http(bad[i], &error), -EINVAL, "%s", bad[i]);
    }
    cr_assert_eq(tern_properties_load_http("http://[::1]:1/p", &error) < 0, true);
}

Test(system, tells_version_and_time) {
    char text[32];
    struct tern_version version = tern_version();
    (void)snprintf(text, sizeof text, "%d.%d.%d", version.major, version.minor, version.patch);
    cr_assert_str_eq(tern_version_text(), text);
    cr_assert_gt(tern_clock_nano_ns(), 0);
    cr_assert_gt(tern_clock_epoch_ms(), INT64_C(1700000000000));
}

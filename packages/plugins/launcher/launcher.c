/*
 * The executable of a CNI plugin. It hands its environment and its standard input to the plugin server (src/server) over
 * a Unix socket and gives back what the server answers; without a server, or when the server declines, it becomes Node.js
 * running src/exec.ts. docs/adr/0012-executables.md says why; src/server/protocol.ts has the messages.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* Who this file is: filled in when it is installed (src/executables/identity.ts), so that a copy needs no look around. */
static volatile struct {
  char magic[32];
  char name[64];
  char version[64];
  char socket[128]; /* empty: ask no server */
  char root[1024];  /* empty: this file lies in ROOT/packages/plugins/bin */
} identity = {"@amphipod/plugins launcher 1", "", "", "", ""};

/* Nothing has been done before the server asks for the configuration, so falling back is safe until then. */
enum { ANSWER_TIMEOUT_S = 10 };

static char root[PATH_MAX];

struct bytes {
  char *data;
  size_t size;
};

extern char **environ;

static void print_error(int code, const char *what, const char *path, const char *why) {
  /* JSON by hand: paths are the only text that is not ours. */
  printf("{\n    \"code\": %d,\n    \"msg\": \"%s ", code, what);
  for (; *path != 0; path++) {
    unsigned char c = (unsigned char)*path;
    if (c == '"' || c == '\\') printf("\\%c", c);
    else if (c < ' ') printf("\\u%04x", c);
    else putchar(c);
  }
  printf(": %s\"\n}", why);
  fflush(stdout);
}

static int write_all(int fd, const char *data, size_t size) {
  while (size > 0) {
    ssize_t n = write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    data += n;
    size -= (size_t)n;
  }
  return 0;
}

static int send_all(int fd, const char *data, size_t size) {
  while (size > 0) {
    ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    data += n;
    size -= (size_t)n;
  }
  return 0;
}

static int read_all(int fd, char *data, size_t size) {
  while (size > 0) {
    ssize_t n = read(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    data += n;
    size -= (size_t)n;
  }
  return 0;
}

/* A frame: its kind, the size of what follows (little endian), what follows. */
static int send_frame(int fd, char kind, struct bytes payload) {
  char head[5] = {kind};
  if (payload.size > UINT32_MAX) return -1;
  for (int i = 0; i < 4; i++) head[1 + i] = (char)(payload.size >> (8 * i));
  return send_all(fd, head, sizeof head) < 0 ? -1 : send_all(fd, payload.data, payload.size);
}

static uint32_t size_at(const char *bytes) {
  uint32_t size = 0;
  for (int i = 0; i < 4; i++) size |= (uint32_t)(unsigned char)bytes[i] << (8 * i);
  return size;
}

/* Gives the kind of the frame, 0 when the server is gone or too slow. */
static char receive_frame(int fd, struct bytes *payload) {
  char head[5];
  if (read_all(fd, head, sizeof head) < 0) return 0;
  payload->size = size_at(head + 1);
  payload->data = malloc(payload->size + 1);
  if (payload->data == NULL || read_all(fd, payload->data, payload->size) < 0) return 0;
  return head[0];
}

static void append(struct bytes *to, const char *text) {
  size_t size = strlen(text) + 1;
  memcpy(to->data + to->size, text, size);
  to->size += size;
}

/* Version, installation, plugin, then the environment; each text ends with a zero. */
static struct bytes hello(void) {
  size_t size = sizeof identity + sizeof root;
  for (char **variable = environ; *variable != NULL; variable++) size += strlen(*variable) + 1;
  struct bytes text = {malloc(size), 0};
  if (text.data == NULL) return text;
  append(&text, (const char *)identity.version);
  append(&text, root);
  append(&text, (const char *)identity.name);
  for (char **variable = environ; *variable != NULL; variable++) append(&text, *variable);
  return text;
}

static void set_timeout(int fd, int seconds) {
  struct timeval time = {.tv_sec = seconds};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time); /* for connect() too, when the server's queue is full */
}

static int connect_server(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen((const char *)identity.socket);
  if (length == 0 || length >= sizeof address.sun_path) return -1;
  memcpy(address.sun_path, (const char *)identity.socket, length);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0) set_timeout(fd, ANSWER_TIMEOUT_S);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

static struct bytes read_stdin(void) {
  struct bytes input = {NULL, 0};
  size_t room = 0;
  for (;;) {
    if (input.size == room) {
      room = room == 0 ? 16384 : 2 * room;
      input.data = realloc(input.data, room);
      if (input.data == NULL) abort();
    }
    ssize_t n = read(0, input.data + input.size, room - input.size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return (struct bytes){NULL, 0};
    if (n == 0) return input;
    input.size += (size_t)n;
  }
}

/* A result: exit code, size of stdout, stdout, stderr. The server undoes an ADD whose result is not acknowledged. */
static void deliver(int fd, struct bytes result) {
  uint32_t out = size_at(result.data + 1);
  if (write_all(1, result.data + 5, out) < 0) _exit(1);
  if (write_all(2, result.data + 5 + out, result.size - 5 - out) < 0) _exit(1);
  send_frame(fd, 'A', (struct bytes){NULL, 0});
  _exit((unsigned char)result.data[0]);
}

/* Comes back when Node.js has to do it; then `input` is what was read from stdin, if anything was. */
static void ask_server(struct bytes *input) {
  int fd = connect_server();
  if (fd < 0) return;
  struct bytes answer;
  struct bytes greeting = hello();
  if (greeting.data == NULL || send_frame(fd, 'H', greeting) < 0) greeting.size = 0;
  char kind = receive_frame(fd, &answer);
  if (kind == 'S') {
    set_timeout(fd, 0);
    *input = read_stdin();
    if (input->data == NULL) { /* Node.js will say why. */
      close(fd);
      return;
    }
    /* Also when it could not be sent: the server declines what is too large without reading it. */
    send_frame(fd, 'I', *input);
    kind = receive_frame(fd, &answer);
    const char *command = getenv("CNI_COMMAND");
    if (kind == 0 && command != NULL && strcmp(command, "ADD") == 0) {
      /* Perhaps half done, and only DEL can tell; other commands can be repeated. */
      print_error(11, "run plugin by", (const char *)identity.socket, "the server ended before it answered");
      _exit(1);
    }
  }
  if (kind == 'R' && answer.size >= 5 && size_at(answer.data + 1) <= answer.size - 5) deliver(fd, answer);
  close(fd);
}

static void find_root(void) {
  if (identity.root[0] != 0) {
    strcpy(root, (const char *)identity.root);
    return;
  }
  ssize_t length = readlink("/proc/self/exe", root, sizeof root - 1);
  root[length < 0 ? 0 : length] = 0;
  for (int i = 0; i < 4; i++) {
    char *slash = strrchr(root, '/');
    if (slash != NULL) *slash = 0;
  }
}

static void replay(struct bytes input) {
  int fd = memfd_create("stdin", MFD_CLOEXEC);
  if (fd < 0 || write_all(fd, input.data, input.size) < 0 || lseek(fd, 0, SEEK_SET) != 0 || dup2(fd, 0) < 0) abort();
}

static void become_node(int argc, char **argv) {
  char node[PATH_MAX + 32], cache[PATH_MAX + 64], program[PATH_MAX + 64];
  snprintf(program, sizeof program, "%s/packages/plugins/src/exec.ts", root);
  const char *up = "";
  if (access(program, F_OK) != 0) { /* what `npm run build` made */
    snprintf(program, sizeof program, "%s/packages/plugins/src/exec.mjs", root);
    up = "/..";
  }
  snprintf(node, sizeof node, "%s%s/bin/node24", root, up);
  snprintf(cache, sizeof cache, "%s%s/node_modules/.cache/amphipod-plugins", root, up);
  setenv("NODE_COMPILE_CACHE", cache, 0);
  char **args = calloc((size_t)argc + 3, sizeof *args);
  if (args == NULL) {
    print_error(999, "start", node, strerror(errno));
    return;
  }
  args[0] = node;
  args[1] = program;
  args[2] = (char *)identity.name;
  for (int i = 1; i < argc; i++) args[i + 2] = argv[i];
  execv(node, args);
  print_error(999, "start", node, strerror(errno));
}

/* As Node.js does: otherwise the socket could become standard input or output. */
static void open_missing_stdio(void) {
  int fd;
  do fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= 2);
  if (fd > 2) close(fd);
}

int main(int argc, char **argv) {
  struct bytes input = {NULL, 0};
  open_missing_stdio();
  find_root();
  /* A call by the specification has no arguments; `dhcp daemon` is a process of its own. */
  if (argc <= 1) ask_server(&input);
  if (input.data != NULL) replay(input);
  become_node(argc, argv);
  return 1;
}

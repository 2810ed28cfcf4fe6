/* Preloaded: kills the process before its n-th change of a file, so that a test can go through all of them.
   What a program has written and not yet flushed is lost then, as with kill -9. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

static long left = -1, seen;

void arm(long n) {
  left = n;
  seen = 0;
}

long changes(void) { return seen; }

static void step(void) {
  if (left < 0) return;
  if (left-- == 0) kill(getpid(), SIGKILL);
  seen++;
}

#define BEFORE(name, ...)                                                   \
  step();                                                                   \
  return ((__typeof__(&name))dlsym(RTLD_NEXT, #name))(__VA_ARGS__)

int fclose(FILE *file) { BEFORE(fclose, file); }
int fflush(FILE *file) { BEFORE(fflush, file); }
int ftruncate(int file, off_t size) { BEFORE(ftruncate, file, size); }
int remove(const char *path) { BEFORE(remove, path); }
int rename(const char *from, const char *to) { BEFORE(rename, from, to); }
int unlink(const char *path) { BEFORE(unlink, path); }

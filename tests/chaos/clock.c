/* Preloaded library (LD_PRELOAD) that shifts a process's wall clock ahead by CHAOS_AHEAD seconds; other clocks are unchanged. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

long syscall(long number, ...);

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = (int)syscall(SYS_clock_gettime, clock, now);
  const char *ahead = getenv("CHAOS_AHEAD");
  if (!failed && clock == CLOCK_REALTIME && ahead) now->tv_sec += atol(ahead);
  return failed;
}

// SPDX-License-Identifier: Apache-2.0
// A wall clock of its own for one process: LD_PRELOAD=clock_step.so CLOCK_STEP_FILE=FILE. The first
// 8 bytes of FILE are by how many nanoseconds it differs from the machine's; whoever writes them
// steps the clock. Steady clocks are left alone.
//
// Unlike libfaketime it does what a kernel does to those who wait until a time of the wall clock,
// futexes too: after a step back they wait for longer, after a step ahead they end at once. That
// is the point of it: libraries that wait so (gRPC's timers, over Abseil) meet the real trouble.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t kSecond = 1000000000;
static const int64_t kSlice = 20000000;  // how soon a step is seen by who waits
static const volatile int64_t* difference;

__attribute__((constructor)) static void Open(void) {
  const char* path = getenv("CLOCK_STEP_FILE");
  const int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void* mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped != MAP_FAILED) difference = mapped;
}

static int64_t Difference(void) { return difference == NULL ? 0 : *difference; }

static long Call(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

static int64_t ToNanoseconds(const struct timespec* time) {
  const int64_t latest = INT64_MAX / kSecond / 2;  // for who waits for ever
  return (time->tv_sec < latest ? time->tv_sec : latest) * kSecond + time->tv_nsec;
}

static struct timespec FromNanoseconds(int64_t time) {
  struct timespec result = {time / kSecond, time % kSecond};
  if (result.tv_nsec < 0) {
    result.tv_nsec += kSecond;
    --result.tv_sec;
  }
  return result;
}

int clock_gettime(clockid_t clock, struct timespec* time) {
  const long result = Call(SYS_clock_gettime, clock, (long)time, 0, 0, 0, 0);
  if (result != 0) {
    errno = (int)-result;
    return -1;
  }
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
    *time = FromNanoseconds(ToNanoseconds(time) + Difference());
  }
  return 0;
}

int gettimeofday(struct timeval* restrict time, void* restrict zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* result) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (result != NULL) *result = now.tv_sec;
  return now.tv_sec;
}

// The deadline of the next slice by the machine's clock; whether it is the last one.
static struct timespec NextSlice(const struct timespec* until, int* last) {
  struct timespec now;
  Call(SYS_clock_gettime, CLOCK_REALTIME, (long)&now, 0, 0, 0, 0);
  const int64_t end = ToNanoseconds(until) - Difference();
  const int64_t slice = ToNanoseconds(&now) + kSlice;
  *last = end <= slice;
  if (!*last) return FromNanoseconds(slice);
  return FromNanoseconds(end > 0 ? end : 0);  // the kernel knows no time before 1970
}

static long WaitOnFutex(long a, long b, long c, const struct timespec* until, long e, long f) {
  while (1) {
    int last = 0;
    const struct timespec slice = NextSlice(until, &last);
    const long result = Call(SYS_futex, a, b, c, (long)&slice, e, f);
    if (result != -ETIMEDOUT || last) return result;
  }
}

long syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long arguments[6];
  for (int i = 0; i < 6; ++i) arguments[i] = va_arg(list, long);
  va_end(list);
  const long operation = arguments[1];
  const int waits = number == SYS_futex && (operation & FUTEX_CLOCK_REALTIME) != 0 &&
                    (operation & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET && arguments[3] != 0;
  const long result =
      waits ? WaitOnFutex(arguments[0], operation, arguments[2], (const struct timespec*)arguments[3],
                          arguments[4], arguments[5])
            : Call(number, arguments[0], operation, arguments[2], arguments[3], arguments[4],
                   arguments[5]);
  if (result < 0 && result > -4096) {
    errno = (int)-result;
    return -1;
  }
  return result;
}

typedef int TimedWait(pthread_cond_t*, pthread_mutex_t*, const struct timespec*);

// Of condition variables that wait by the wall clock; those of steady clocks use clockwait.
int pthread_cond_timedwait(pthread_cond_t* restrict condition, pthread_mutex_t* restrict mutex,
                           const struct timespec* restrict until) {
  static TimedWait* real;
  if (real == NULL) real = (TimedWait*)dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  while (1) {
    int last = 0;
    const struct timespec slice = NextSlice(until, &last);
    const int result = real(condition, mutex, &slice);
    if (result != ETIMEDOUT || last) return result;
  }
}

// A wrong clock for one process, to be loaded before its C library (LD_PRELOAD): the wall clock is the machine's plus
// the seconds in the file that ORDU_TEST_CLOCK names. The monotonic clocks are left alone. Nothing in here allocates:
// the allocator itself may ask for the time.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// A sign and digits; the file holds these and nothing else.
#define FILE_BYTES 12
// The file is read again after this, so that the time costs no system call of its own each time.
#define READ_AGAIN_AFTER_MS 5

static int file = -1;
static _Atomic long long shift_seconds;
static _Atomic long long read_at_ms;

__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("ORDU_TEST_CLOCK");
    if (path != NULL) {
        file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    }
}

static void read_file(void) {
    char text[FILE_BYTES];
    if (pread(file, text, FILE_BYTES, 0) != FILE_BYTES || (text[0] != '+' && text[0] != '-')) {
        return;
    }
    long long seconds = 0;
    for (int at = 1; at < FILE_BYTES; at++) {
        if (text[at] < '0' || text[at] > '9') {
            return;
        }
        seconds = seconds * 10 + (text[at] - '0');
    }
    atomic_store(&shift_seconds, text[0] == '-' ? -seconds : seconds);
}

static long long shift(void) {
    if (file < 0) {
        return 0;
    }
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    long long now_ms = (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (now_ms - atomic_load(&read_at_ms) >= READ_AGAIN_AFTER_MS) {
        atomic_store(&read_at_ms, now_ms);
        read_file();
    }
    return atomic_load(&shift_seconds);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        time->tv_sec += shift();
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    if (result == 0) {
        time->tv_sec = now.tv_sec;
        time->tv_usec = now.tv_nsec / 1000;
    }
    return result;
}

time_t time(time_t *seconds) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds != NULL) {
        *seconds = now.tv_sec;
    }
    return now.tv_sec;
}

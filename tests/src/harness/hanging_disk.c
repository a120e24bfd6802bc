// A disk whose syncs hang, for one process, to be loaded before its C library (LD_PRELOAD): a sync does not return while
// the file that ORDU_TEST_DISK names begins with a 1.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOK_AGAIN_AFTER_NS 5000000

static int file = -1;

__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("ORDU_TEST_DISK");
    if (path != NULL) {
        file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    }
}

static void hang(void) {
    char hangs = 0;
    while (file >= 0 && pread(file, &hangs, 1, 0) == 1 && hangs == '1') {
        struct timespec pause = {0, LOOK_AGAIN_AFTER_NS};
        nanosleep(&pause, NULL);
    }
}

int fsync(int descriptor) {
    hang();
    return (int)syscall(SYS_fsync, descriptor);
}

int fdatasync(int descriptor) {
    hang();
    return (int)syscall(SYS_fdatasync, descriptor);
}

#define _GNU_SOURCE
#include "clinux.h"
#include <pthread.h>

int apus_name_thread(const char *name) { return pthread_setname_np(pthread_self(), name); }

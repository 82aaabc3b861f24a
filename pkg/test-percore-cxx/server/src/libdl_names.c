/*
 * libdl.so takes its lock by names that libc.so has, but does not show to others: dlopen would end the program
 * with "Can't resolve symbol".
 */
#include <pthread.h>

int __pthread_mutex_lock(pthread_mutex_t *mutex);
int __pthread_mutex_unlock(pthread_mutex_t *mutex);

int
__pthread_mutex_lock(pthread_mutex_t *mutex)
{ return pthread_mutex_lock(mutex); }

int
__pthread_mutex_unlock(pthread_mutex_t *mutex)
{ return pthread_mutex_unlock(mutex); }

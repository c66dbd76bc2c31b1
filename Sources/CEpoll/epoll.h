/* The Linux interfaces that Swift's Glibc module leaves out. */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/* Behind _GNU_SOURCE, which that module does not define. */
extern int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict length, int flags);
extern int pthread_setname_np(pthread_t thread, const char *name);

/* The device of a CPU: each thread of a GPU is one of the operating system, and the threads of a
   cluster meet at real barriers, so that a missing one shows itself in the results. Stands in the
   place of the text of the same name. */
#include <barrier>
#include <thread>
#include <vector>

struct Place {
  int thread, rank;
  long long cluster;
  char *const *shared; /* of each block of the cluster */
  std::barrier<> *block, *all;
};
static thread_local Place here;

INLINE int thread_index() { return here.thread; }
INLINE int cluster_rank() { return here.rank; }
INLINE long long cluster_index() { return here.cluster; }
INLINE void sync_block() { here.block->arrive_and_wait(); }
INLINE real *peer(real *mine, int rank) {
  return (real *)(here.shared[rank] + ((char *)mine - here.shared[here.rank]));
}
INLINE void arrive() {}
INLINE void await() { here.all->arrive_and_wait(); }

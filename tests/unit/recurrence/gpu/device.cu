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
typedef int Arrival;
INLINE void meet() { here.all->arrive_and_wait(); }
INLINE void prepare(Arrival *arrivals, int bytes) {}
INLINE void hand_out(real *mine, real value, Arrival *arrival) {
  for (int rank = 0; rank < CLUSTER; rank++)
    *(real *)(here.shared[rank] + ((char *)mine - here.shared[here.rank])) = value;
}
INLINE void await(Arrival *arrival, long long turn, int bytes) { meet(); }

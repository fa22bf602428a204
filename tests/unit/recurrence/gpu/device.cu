/* The device of a CPU: each thread of a GPU is one of the operating system. Blocks wait for bytes, as
   those of a GPU with clusters do, also where there is one block: bytes too many or not expected yet,
   a wait without end and one for a wrong turn are found. Numbers are there at once, where a GPU may
   take its time. Stands in the place of the text of the same name. */
#include <barrier>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

constexpr std::chrono::seconds PATIENCE(20);

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
INLINE void meet() { here.all->arrive_and_wait(); }

/* How many bytes are missing still, and how often all had come. */
typedef struct {
  long long due, turns;
} Arrival;
static std::mutex guard;
static std::condition_variable news;
static long long unclaimed; /* bytes that came, and that no block has waited for */
static const char *wrong;   /* what the cluster does wrong */

template <typename T>
INLINE T *of_peer(T *mine, int rank) {
  return (T *)(here.shared[rank] + ((char *)mine - here.shared[here.rank]));
}

INLINE void prepare(Arrival *arrivals, int bytes) {
  for (int i = 0; i < 2 && thread_index() == 0; i++) arrivals[i] = {bytes, 0};
}

INLINE void hand_out(real *mine, real value, Arrival *arrival) {
  std::lock_guard<std::mutex> lock(guard);
  for (int rank = 0; rank < CLUSTER; rank++) {
    Arrival *theirs = of_peer(arrival, rank);
    *of_peer(mine, rank) = value;
    unclaimed += sizeof(real);
    theirs->due -= sizeof(real);
    if (theirs->due < 0) wrong = "bytes come that are not expected";
    if (theirs->due == 0) theirs->turns++;
  }
  news.notify_all();
}

/* As a GPU does, by the parity of the turn alone. */
INLINE void await(Arrival *arrival, long long turn, int bytes) {
  std::unique_lock<std::mutex> lock(guard);
  const auto ended = [&] { return wrong || arrival->turns % 2 != turn % 2; };
  if (!news.wait_for(lock, PATIENCE, ended)) wrong = "a block waits for bytes that do not come";
  if (thread_index() != 0) return;
  if (arrival->due > 0) wrong = "a block goes on before its bytes have come";
  arrival->due += bytes;
  unclaimed -= bytes;
}
